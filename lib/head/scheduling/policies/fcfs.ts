import type { SchedulingPolicy } from '../policy.js';
import { bestPlace } from '../rank_choice.js';
import { generatedFirst } from './shares.js';

/**
 * First come, first served: a request that finds no room keeps those behind it waiting, so that none starves, and who was admitted last gives way, so that
 * who was admitted first always goes on. Generated tokens come first, one each; prompts take in chunks what is left.
 */
export const fcfs: SchedulingPolicy = {
  admit([first], placesOf) {
    if (first === undefined) return null;
    const { sequence } = first;
    const best = bestPlace(placesOf(sequence));
    return best && { sequence, rank: best.rank };
  },
  plan: generatedFirst,
  preempt: (running) => running.at(-1)!.sequence,
};
