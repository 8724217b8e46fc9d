/**
 * Sequences that begin with blocks which lie outside of their rank's cache: each holds its blocks, and nothing of it is computed until what comes is there. Pure bookkeeping.
 * Why: docs/decisions/kv_store.md#a-block-is-found-by-its-key-wherever-it-lies
 */
import type { BlockOrigin } from '../kv/kv_costs.js';
import type { Lift } from '../kv/lift.js';
import { comingOf, liftOf, type ComingSlot, type RunningLift, type Slot } from '../kv/lift_plan.js';
import type { Running } from './progress.js';
import type { Lookup, SequenceBlocks } from './sequence_blocks.js';

/** A sequence that holds what was found of it. */
export interface Begun {
  readonly blocks: number[];
  /** Null: all of it is in the cache. */
  readonly lift: RunningLift | null;
}

/** Of those that the scheduler runs, which says who is admitted and who gives way. */
export class SequenceLifts {
  constructor(
    private readonly running: ReadonlyMap<number, Running>,
    private readonly blocks: SequenceBlocks,
    private readonly blockSize: number,
  ) {}

  /** What is to come, by sequence: another object each time that one is admitted. */
  get all(): ReadonlyMap<number, Lift> {
    const coming = [...this.running.values()].filter(({ lift }) => lift?.numThere === null);
    return new Map(coming.map(({ sequence, lift }) => [sequence, lift!.lift]));
  }

  /** Holds what was found of a request that is to run. `isWanted`: as {@link SequenceBlocks.planKeep} asks. */
  begin(
    rank: number,
    { blocks: found, slots }: Lookup,
    { isWanted, isCounted }: { readonly isWanted: (block: number) => boolean; readonly isCounted: boolean },
  ): Begun {
    const { blocks: all } = this;
    if (slots.length === 0) {
      all.share(rank, found);
      return { blocks: [...found], lift: null };
    }
    this.hold(rank, slots); // before room is made for them
    const shared = slots.flatMap((slot) => (slot.kind === 'cached' ? [slot.block] : []));
    all.share(rank, shared);
    const taken = all.take(rank, slots.length - shared.length);
    const blocks = slots.map((slot) => (slot.kind === 'cached' ? slot.block : taken.shift()!));
    const useful = slots.slice(0, this.planStates(rank, slots, blocks, isWanted));
    this.release(rank, slots.slice(useful.length), 0);
    all.shrinkTo({ rank, blocks }, useful.length);
    const isComing = useful.some(({ kind }) => kind === 'coming');
    const lift = { lift: liftOf(rank, useful, blocks), slots: useful, isCounted, numThere: null };
    return { blocks, lift: isComing ? lift : null };
  }

  /** So many of the blocks that were to come are there, and nothing more comes. Nothing happens where the sequence doesn't wait for any. */
  land(sequence: number, numBlocks: number): void {
    const state = this.running.get(sequence);
    if (state?.lift?.numThere !== null) return;
    const { lift, rank, blocks } = state;
    const coming = comingOf(lift.slots);
    for (const [at, { key, hasState }] of coming.slice(0, numBlocks)) {
      this.blocks.sealKey(rank, blocks[at]!, key);
      if (hasState) this.blocks.commitKeep(rank, blocks[at]!);
    }
    this.release(rank, lift.slots, numBlocks);
    const numFilled = coming[numBlocks]?.[0] ?? lift.slots.length;
    lift.numThere = this.blocks.numToBegin(rank, blocks.slice(0, numFilled));
    this.blocks.shrinkTo(state, lift.numThere);
    if (lift.isCounted) this.count(state, coming.slice(0, numBlocks));
  }

  /** A sequence gives way, or is over, before all is there. */
  cancel({ rank, lift }: Running): void {
    if (lift?.numThere === null) this.release(rank, lift.slots, 0);
  }

  /** Those that go on now, until they have `mostTokens` tokens or more. */
  takeThere(mostTokens: number): Running[] {
    const there: Running[] = [];
    let left = mostTokens;
    for (const state of this.running.values()) {
      if (left <= 0) break;
      if (state.lift?.numThere == null) continue;
      there.push(state);
      left -= state.blocks.length * this.blockSize;
    }
    return there;
  }

  /** The one that was admitted last of those on a rank; null: there is none. */
  lastOn(rank: number): number | null {
    const last = [...this.running.values()].findLast((state) => state.rank === rank && state.lift !== null);
    return last?.sequence ?? null;
  }

  private hold(rank: number, slots: readonly Slot[]): void {
    this.blocks.tiers.of(rank)?.hold(keysInTiers(comingOf(slots)));
  }

  /** The first `numLanded` of what was to come are there. */
  private release(rank: number, slots: readonly Slot[], numLanded: number): void {
    const coming = comingOf(slots);
    const numOwn = keysInTiers(coming.slice(0, numLanded)).length;
    this.blocks.tiers.of(rank)?.release(keysInTiers(coming), numOwn);
  }

  /** States that come along are counted from now on: returns up to which slot there is room for all of them. */
  private planStates(
    rank: number,
    slots: readonly Slot[],
    blocks: readonly number[],
    isWanted: (block: number) => boolean,
  ): number {
    if (!this.blocks.hasStates) return slots.length;
    let numUseful = 0;
    for (const [i, slot] of slots.entries()) {
      const comes = slot.kind === 'coming' && slot.hasState;
      const isOwn = (block: number): boolean => blocks.includes(block) || isWanted(block);
      if (comes && !this.blocks.planKeep(rank, blocks[i]!, isOwn)) break;
      if (comes || (slot.kind === 'cached' && this.blocks.hasState(rank, slot.block))) numUseful = i + 1;
    }
    return numUseful;
  }

  private count({ promptTokenIds }: Running, landed: readonly (readonly [number, ComingSlot])[]): void {
    for (const [origin, numTokens] of tokensByOrigin(landed, this.blockSize, promptTokenIds.length)) {
      this.blocks.countHits(origin, numTokens);
    }
  }
}

/** Tokens of a prompt by where they come from. */
export function tokensByOrigin(
  coming: readonly (readonly [number, ComingSlot])[],
  blockSize: number,
  numPromptTokens: number,
): Map<BlockOrigin, number> {
  const numFrom = new Map<BlockOrigin, number>();
  for (const [at, { origin }] of coming) {
    const numTokens = Math.min(Math.max(numPromptTokens - at * blockSize, 0), blockSize);
    numFrom.set(origin, (numFrom.get(origin) ?? 0) + numTokens);
  }
  return numFrom;
}

/** What comes from tiers of the rank itself. */
const keysInTiers = (coming: readonly (readonly [number, ComingSlot])[]): string[] =>
  coming.flatMap(([, { source, key }]) => (source.kind === 'tier' ? [key] : []));
