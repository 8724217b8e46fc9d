/** What a sequence may begin with that isn't all in the cache of its rank: pure. */
import type { KeyedBlock } from '../../protocol/kv_store.js';
import type { BlockNumbers, BlockOrigin } from './kv_costs.js';
import type { Lift, LiftSegment, LiftSource } from './lift.js';

/** A block that the cache has. */
export interface CachedSlot {
  readonly kind: 'cached';
  readonly block: number;
}

/** One that is to come. */
export interface ComingSlot {
  readonly kind: 'coming';
  /** The same object for blocks that are brought with one order. */
  readonly source: LiftSource;
  readonly origin: BlockOrigin;
  readonly key: string;
  /** It brings the state behind its last token along. */
  readonly hasState: boolean;
}

/** One of a sequence's first blocks. */
export type Slot = CachedSlot | ComingSlot;

/** What is to come of a running sequence. */
export interface RunningLift {
  readonly lift: Lift;
  /** Its first blocks. */
  readonly slots: readonly Slot[];
  /** Tokens of its prompt are counted that come. */
  readonly isCounted: boolean;
  /** So many of its blocks are there, and nothing more comes; null: it isn't over. */
  numThere: number | null;
}

/** Who has a block. */
export interface Sighting {
  readonly slot: Slot;
  /** With the state behind its last token. */
  readonly hasState: boolean;
}

/** Where blocks are looked for. */
export interface LookupParts {
  /** Blocks that may be found: at least the last token is to be computed. */
  readonly numKeys: number;
  /** The first of them, in the cache of the rank: a sequence can begin behind the last one. */
  readonly cached: readonly number[];
  /** Who has a block behind those, the one that it is best taken from first. */
  readonly sightings: (index: number) => readonly Sighting[];
  /** A sequence begins behind a block alone that keeps a state. */
  readonly hasStates: boolean;
}

/**
 * The first blocks as far as somebody has them, in order of position; where layers have states, up to the last one that comes with its state. Empty where all of them
 * are in the cache.
 */
export function slotsOf({ numKeys, cached, sightings, hasStates }: LookupParts): readonly Slot[] {
  const slots: Slot[] = [];
  /** As many of them are of use, the last of which is this one. */
  let [numUseful, last]: [number, Slot | undefined] = [0, undefined];
  for (let i = cached.length; i < numKeys; i++) {
    const found = sightings(i);
    const [first] = found;
    if (first === undefined) break;
    slots.push(first.slot);
    const end = hasStates ? found.find(({ hasState }) => hasState) : first;
    if (end !== undefined) [numUseful, last] = [slots.length, end.slot];
  }
  const useful = last === undefined ? [] : [...slots.slice(0, numUseful - 1), last];
  if (useful.every(({ kind }) => kind === 'cached')) return [];
  return [...cached.map((block): Slot => ({ kind: 'cached', block })), ...useful];
}

/** What is to be brought into `blocks`, one per slot. */
export function liftOf(rank: number, slots: readonly Slot[], blocks: readonly number[]): Lift {
  const segments: GrowingSegment[] = [];
  for (const [i, slot] of slots.entries()) {
    if (slot.kind === 'cached') continue;
    const { source, origin, key, hasState } = slot;
    let last = segments.at(-1);
    if (last?.source !== source || last.first + last.blocks.length < i) {
      segments.push((last = { source, first: i, blocks: [], origins: [], states: [] }));
    }
    last.blocks.push({ block: blocks[i]!, key });
    last.origins.push(origin);
    last.states.push(hasState);
  }
  return { rank, segments };
}

interface GrowingSegment extends LiftSegment {
  readonly blocks: KeyedBlock[];
  readonly origins: BlockOrigin[];
  readonly states: boolean[];
}

/** Slots that are brought with one order, and cached ones behind them: of no use without them. */
export interface SlotRun {
  readonly first: number;
  readonly numSlots: number;
  readonly numbers: BlockNumbers;
}

/** From the first slot that is to come on, in order of position. */
export function runsOf(slots: readonly Slot[]): readonly SlotRun[] {
  const { segments } = liftOf(
    0,
    slots,
    slots.map(() => 0),
  );
  return segments.map(({ first, origins }, i) => {
    const end = segments[i + 1]?.first ?? slots.length;
    return { first, numSlots: end - first, numbers: numbersOf(origins) };
  });
}

/** How many come from where. */
export function numbersOf(origins: readonly BlockOrigin[]): BlockNumbers {
  const numbers: Partial<Record<BlockOrigin, number>> = {};
  for (const origin of origins) numbers[origin] = (numbers[origin] ?? 0) + 1;
  return numbers;
}

/** What is to come, each with its place. */
export const comingOf = (slots: readonly Slot[]): (readonly [number, ComingSlot])[] =>
  slots.flatMap((slot, at) => (slot.kind === 'coming' ? [[at, slot] as const] : []));
