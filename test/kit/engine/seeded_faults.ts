/** What befalls a job in one process, drawn from a seed: any rank at any moment of a step, of a loss, of experts and sequences that move. Pure. */
import { randomFrom } from '../../refs/random.js';
import type { Fault, Moment } from './local_engine.js';
import type { Spoil } from './local_seats.js';

/** Somebody comes to the door, a rank asks to leave or is killed, of those that are there the one at this share of them; or there are to be another number. */
export interface SeededChange {
  readonly step: number;
  readonly what: 'join' | 'leave' | 'kill' | 'scale' | Spoil;
  readonly draw: number;
}

/** A job, and what befalls it. */
export interface SeededFaults {
  readonly numRanks: number;
  /** Ranks that hold each expert, at the beginning. */
  readonly numReplicas: number;
  readonly microBatches: number;
  /** The longest of each message and frame; 0: none has any. */
  readonly latencyMs: number;
  /** Who comes, well or not, and who goes by itself, behind which steps. */
  readonly changes: readonly SeededChange[];
  readonly faults: readonly Fault[];
}

/** Steps of a batch of `masking.ts`, and some more. */
const NUM_STEPS = 14;
/** More often what a launcher does than what goes wrong. */
const CHANGES: readonly SeededChange['what'][] = [
  ...(['join', 'join', 'join', 'join', 'leave', 'leave', 'leave', 'scale', 'scale', 'kill'] as const),
  ...(['other checkpoint', 'dies loading', 'dies linking', 'silent linking'] as const),
];
/** MoE layers of its model: 1 and 2. */
const NUM_LAYERS = 2;

/**
 * Each rank but one may fail once, at a moment of its own; a second rank fails more often while the job deals with the first one. Stopped ranks, which
 * cost a timeout each, are one in twelve.
 */
export function seededFaults(seed: number): SeededFaults {
  const random = randomFrom(seed);
  const below = (count: number): number => Math.floor(random() * count);
  const numRanks = 2 + below(4);
  const numFaults = 1 + below(Math.min(3, numRanks - 1));
  const order = Array.from({ length: numRanks }, (_, rank) => ({ rank, at: random() })).sort((a, b) => a.at - b.at);
  const momentOf = (i: number): Moment => {
    const step = 1 + below(NUM_STEPS);
    switch (below(i === 0 ? 8 : 11)) {
      case 0:
        return { kind: 'after_step', step };
      case 1:
        return { kind: 'before_result', step };
      case 2:
      case 3:
      case 4:
        return {
          ...{ kind: 'frame', step, layer: 1 + below(NUM_LAYERS) },
          ...{ phase: below(2) === 0 ? 'dispatch' : 'combine', numSent: below(numRanks - 1) },
        };
      case 5:
        return { kind: 'phase', phase: 'weights', nth: 1 + below(9) };
      case 6:
        return { kind: 'phase', phase: 'kv', nth: 1 + below(5) };
      case 7:
        return { kind: 'message', message: below(2) === 0 ? 'gathered' : 'entered', nth: 1 + below(3) };
      default:
        return { kind: 'epoch', epoch: 1 + below(i) };
    }
  };
  const faults = order.slice(0, numFaults).map(({ rank }, i): Fault => {
    const at = momentOf(i);
    const how = below(12);
    if (how === 0) return { rank, at, how: 'stopped' };
    const isFrame = at.kind === 'frame' || at.kind === 'phase';
    if (how === 1 && isFrame) return { rank, at, how: 'late' };
    if (how === 2 && isFrame) return { rank, at, how: 'refused' };
    if (how === 3 && isFrame) return { rank, at, cutFrom: order[numFaults]!.rank };
    return { rank, at };
  });
  return {
    numRanks,
    numReplicas: 1 + below(Math.min(2, numRanks)),
    microBatches: 1 + below(2),
    latencyMs: [0, 0, 2, 8][below(4)]!,
    faults,
    changes: Array.from({ length: below(5) }, () => ({
      step: below(2 * NUM_STEPS),
      what: CHANGES[below(CHANGES.length)]!,
      draw: random(),
    })),
  };
}
