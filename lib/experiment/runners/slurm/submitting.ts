/** Putting jobs in line though Slurm's controller may be away for a while. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ExperimentError } from '../../base/errors.js';
import { Unreachable, type Slurm } from './slurm.js';

/** A controller that is started anew is back by then. */
const PATIENCE_MS = 600_000;

/** How long, and how often Slurm is asked again. */
export interface Patience {
  readonly eachMs: number;
  /** Default ten minutes. */
  readonly patienceMs?: number | undefined;
  /** Ends the wait, and what is asked. Default: nothing does. */
  readonly signal?: AbortSignal | undefined;
}

/** Nobody wants an answer any more. */
export class Interrupted extends Error {}

/** What `ask` gives, asked again while nobody answers. @throws ExperimentError RUNNER_FAILED where that lasts too long; Interrupted by the signal; what `ask` throws */
export async function patiently<T>(
  ask: (tries: number) => Promise<T>,
  { eachMs, patienceMs = PATIENCE_MS, signal }: Patience,
): Promise<T> {
  const lastMs = performance.now() + patienceMs;
  for (let tries = 0; ; tries++) {
    try {
      return await ask(tries);
    } catch (error) {
      checkWanted(signal, error);
      if (!(error instanceof Unreachable)) throw error;
      if (performance.now() > lastMs) throw away(error, patienceMs);
      await delay(eachMs, undefined, { signal }).catch(() => undefined);
      checkWanted(signal, error);
    }
  }
}

function checkWanted(signal: AbortSignal | undefined, cause: unknown): void {
  if (signal?.aborted === true) throw new Interrupted('nobody wants the answer any more', { cause });
}

/** A name that no other job has. */
export const jobName = (): string => `expertwire-${randomUUID().slice(0, 8)}`;

/** A job's number. Slurm may have taken it though its answer was lost: its name tells. @throws ExperimentError RUNNER_FAILED; Interrupted */
export async function submitted(
  slurm: Slurm,
  patience: Patience,
  jobOf: (name: string) => { readonly args: readonly string[]; readonly script: string },
  name = jobName(),
): Promise<string> {
  const { args, script } = jobOf(name);
  return patiently(async (tries) => {
    const [taken] = tries === 0 ? [] : await slurm.named(name, patience.signal);
    return taken ?? slurm.submit(args, script, patience.signal);
  }, patience);
}

const away = (cause: Unreachable, patienceMs: number): ExperimentError =>
  new ExperimentError(
    'RUNNER_FAILED',
    `Slurm's controller doesn't answer for ${patienceMs / 1000} s (${cause.message}); look at slurmctld, then the same command goes on where this one stopped`,
    { cause },
  );
