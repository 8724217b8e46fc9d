/** Node counts the cores of a machine, not those that a pod has of them: who computes is told how many threads these are. */
import { MAX_THREADS } from '../../../compute/wasm/threads/crew_words.js';

/** What a command is told beside its own words; nothing where it says it itself, or no number of cores was asked for. */
export function threadsOf(command: readonly string[], cpus: number | undefined): readonly string[] {
  if (cpus === undefined || command.some((word) => word.includes('parallel.threads='))) return [];
  return ['--set', `parallel.threads=${Math.min(MAX_THREADS, Math.max(1, Math.floor(cpus)))}`];
}
