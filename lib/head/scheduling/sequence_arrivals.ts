/**
 * Sequences on their way here from another instance: each holds a place and blocks, and nothing of it is computed until all is there that comes. Pure bookkeeping.
 * Why: docs/decisions/handover.md#what-arrives-holds-its-place
 */
import { learnOutput, numKnownTokens, type Running } from './progress.js';
import type { SequenceBlocks } from './sequence_blocks.js';
import type { Arrival } from './sequence_moves.js';

/** Where a sequence arrives: another object each time that it is admitted. */
export type ArrivalPlace = Pick<Running, 'rank' | 'blocks' | 'numComputed'>;

/** Of those that the scheduler runs, which says who is admitted and who gives way. */
export class SequenceArrivals {
  constructor(
    private readonly running: ReadonlyMap<number, Running>,
    private readonly blocks: SequenceBlocks,
  ) {}

  /** Null: it waits, or nothing comes of it any more. */
  placeOf(sequence: number): ArrivalPlace | null {
    return this.comingOne(sequence);
  }

  /** One was admitted behind what was found of it: it takes blocks for all of its tokens. */
  begin(state: Running): void {
    this.blocks.grow(state, numKnownTokens(state));
  }

  /** So much of its output is known. False: there is no room for it where it arrives. */
  learn(sequence: number, outputTokenIds: readonly number[]): boolean {
    const state = this.comingOne(sequence);
    if (state === null) return true;
    learnOutput(state, outputTokenIds);
    const numKnown = numKnownTokens(state);
    if (this.blocks.numLacking(state.blocks.length, numKnown) > this.blocks.numAvailable(state.rank)) return false;
    this.blocks.grow(state, numKnown);
    return true;
  }

  /**
   * Its first tokens are there, of which the first `numExact` have the bits that they would have here. What comes of the last one that is known is computed in any
   * case.
   */
  land(sequence: number, numTokens: number, numExact: number): void {
    const state = this.comingOne(sequence);
    if (state === null) return;
    const { numComputed, numShared } = state;
    const numThere = Math.min(numTokens, numKnownTokens(state) - 1);
    if (numThere <= numComputed) return;
    if (numExact < numThere) state.firstDegraded = Math.min(state.firstDegraded, Math.max(numExact, numShared));
    state.numComputed = numThere;
    this.blocks.seal(state, numComputed, NOBODY);
  }

  /** Nothing more comes: it goes on with the next step. */
  end(sequence: number): void {
    const state = this.comingOne(sequence);
    if (state !== null) state.arrival = 'there';
  }

  /** Those that go on now, until they have `mostTokens` tokens or more. */
  takeArrived(mostTokens: number): Arrival[] {
    const arrived: Arrival[] = [];
    let left = mostTokens;
    for (const state of this.running.values()) {
      if (left <= 0) break;
      if (state.arrival !== 'there') continue;
      const { rank: to, blocks, numComputed: numTokens } = state;
      arrived.push({ state, to, blocks, numTokens });
      left -= numTokens;
    }
    return arrived;
  }

  /** The one that was admitted last of those that come to a rank; null: none does. */
  lastTo(rank: number): number | null {
    const last = [...this.running.values()].findLast((state) => state.rank === rank && state.arrival === 'coming');
    return last?.sequence ?? null;
  }

  private comingOne(sequence: number): Running | null {
    const state = this.running.get(sequence);
    return state?.arrival === 'coming' ? state : null;
  }
}

/** A sequence that comes from elsewhere has no states. */
const NOBODY = (): boolean => false;
