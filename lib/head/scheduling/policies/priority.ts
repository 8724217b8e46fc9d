import { fcfs } from './fcfs.js';
import type { SchedulingPolicy } from '../policy.js';
import { generatedFirst } from './shares.js';

/** What has a place in an order of urgency. */
interface Ranked {
  readonly priority: number;
}

const byPriority = (a: Ranked, b: Ranked): number => a.priority - b.priority;

/**
 * The most urgent first (the lowest `priority`), among equals first come, first served; prompts are computed in that order too. When blocks run out the
 * least urgent gives way, among equals who was admitted last; that nobody waits for seats of less urgent ones is not promised. As in vLLM.
 */
export const priority: SchedulingPolicy = {
  admit: (waiting, placesOf) => fcfs.admit(waiting.toSorted(byPriority), placesOf),
  plan: (running, budget) => generatedFirst(running.toSorted(byPriority), budget),
  preempt: (running) => running.toSorted(byPriority).at(-1)!.sequence,
};
