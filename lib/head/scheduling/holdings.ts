/** What each rank has of a sequence's beginning, in its cache and its tiers, and what a sequence on one of them takes from where. Pure bookkeeping. */
import type { HeldLoan } from '../kv/held_loan.js';
import type { Lendable } from '../kv/lending.js';
import { slotsOf, type ComingSlot, type Sighting, type Slot } from '../kv/lift_plan.js';
import type { LiftSource, LoanSource, RankSource } from '../kv/lift.js';
import type { RankTiers } from '../kv/rank_tiers.js';
import type { BlockKeys } from './blocks/block_keys.js';
import type { BlockLedger } from './blocks/block_ledger.js';
import type { KeptStates } from './blocks/kept_states.js';

/** Where blocks are looked for. */
export interface HoldingsParts {
  /** By seat; null where nobody sits. */
  readonly ledgers: readonly (BlockLedger | null)[];
  /** By seat; empty where all layers have keys and values. */
  readonly kept: readonly KeptStates[];
  readonly tiers: RankTiers;
  /** Ranks bring each other blocks. */
  readonly isPooled: boolean;
}

/** Whose beginning is looked for. */
export interface Wanted {
  readonly keys: BlockKeys;
  /** Blocks that may be found. */
  readonly numKeys: number;
  /** The first of them, in the rank's cache: it can begin behind the last one. */
  readonly cached: readonly number[];
  /** Null: no other instance lends any. */
  readonly loan: HeldLoan | null;
}

/** Of all ranks. */
export class Holdings {
  /** By seat, of a request's keys: whichever rank it may go to looks for the same. */
  private readonly runs = new WeakMap<BlockKeys, (Run | undefined)[]>();

  constructor(private readonly parts: HoldingsParts) {}

  /** Another number whenever a rank that is left has something else; it only grows. */
  versionOf(rank: number): number {
    const { ledgers, kept, tiers } = this.parts;
    return ledgers[rank]!.version + (kept[rank]?.version ?? 0) + (tiers.of(rank)?.version ?? 0);
  }

  /** As {@link versionOf}, of all that {@link slotsOn} depends on, as long as the same ranks are there. */
  versionFor(rank: number): number {
    if (!this.parts.isPooled) return this.versionOf(rank);
    return this.ranks.reduce((sum, each) => sum + this.versionOf(each), 0);
  }

  /** The beginning of these keys that a rank which is left has. */
  heldBy(rank: number, keys: readonly string[]): Lendable[] {
    const held: Lendable[] = [];
    for (const key of keys) {
      const found = this.find(rank, key);
      if (found === null) break;
      held.push(found);
    }
    return held;
  }

  /** What lies elsewhere goes on from what lies in the rank's cache; empty where that has all. */
  slotsOn(rank: number, wanted: Wanted): readonly Slot[] {
    const { isPooled, kept } = this.parts;
    const others = isPooled ? this.ranks.filter((each) => each !== rank) : [];
    if (this.parts.tiers.of(rank) === null && others.length === 0 && wanted.loan === null) return [];
    const best = new BestRank(this, others, wanted);
    const lent = lentBy(wanted, kept.length > 0);
    const sightings = (index: number): readonly Sighting[] => {
      const own = this.ownSightings(rank, wanted.keys.at(index));
      if (own.some(({ hasState }) => hasState || kept.length === 0)) return own;
      const elsewhere = [best.at(index), lent(index)].filter((each) => each !== null);
      return [...own, ...elsewhere];
    };
    return slotsOf({ ...wanted, sightings, hasStates: kept.length > 0 });
  }

  /** Where another rank reads a block of this one: the one with a state, where there are two. Null: it has none. */
  find(rank: number, key: string): Lendable | null {
    const { ledgers, tiers } = this.parts;
    const block = ledgers[rank]!.find(key, this.isPreferred(rank));
    const below = tiers.of(rank)?.find(key) ?? null;
    const hasState = block !== undefined && this.isPreferred(rank)(block);
    if (block !== undefined && (hasState || below?.hasState !== true)) return { block, hasState };
    return below && { block: null, hasState: below.hasState };
  }

  /** What a rank that is left has of these keys from `index` on, without a gap; it may begin before. */
  runFrom(rank: number, index: number, { keys, numKeys }: Wanted): Run {
    const ofKeys = this.runs.get(keys) ?? [];
    this.runs.set(keys, ofKeys);
    const now = { ledger: this.parts.ledgers[rank]!, version: this.versionOf(rank), numKeys };
    const known = ofKeys[rank];
    const isSame = known?.ledger === now.ledger && known.version === now.version && known.numKeys === numKeys;
    if (isSame && known.first <= index && index <= known.first + known.slots.length) return known;
    const source: RankSource = { kind: 'rank', rank };
    const slots = this.heldFrom(rank, index, { keys, numKeys }).map(({ key, hasState }): ComingSlot => {
      return { kind: 'coming', source, origin: 'rank', key, hasState };
    });
    const run = { ...now, first: index, slots };
    ofKeys[rank] = run;
    return run;
  }

  private heldFrom(rank: number, index: number, { keys, numKeys }: Pick<Wanted, 'keys' | 'numKeys'>) {
    const held: { readonly key: string; readonly hasState: boolean }[] = [];
    for (let i = index; i < numKeys; i++) {
      const key = keys.at(i);
      const found = this.find(rank, key);
      if (found === null) break;
      held.push({ key, hasState: found.hasState });
    }
    return held;
  }

  private ownSightings(rank: number, key: string): Sighting[] {
    const { ledgers, tiers } = this.parts;
    const [block, below] = [ledgers[rank]!.find(key, this.isPreferred(rank)), tiers.of(rank)?.find(key) ?? null];
    const found: Sighting[] = [];
    if (block !== undefined) found.push({ slot: { kind: 'cached', block }, hasState: this.isPreferred(rank)(block) });
    if (below !== null) {
      const { tier, hasState } = below;
      found.push({ slot: { kind: 'coming', source: FROM_TIERS, origin: tier, key, hasState }, hasState });
    }
    return found;
  }

  private isPreferred(rank: number): (block: number) => boolean {
    const kept = this.parts.kept[rank];
    return (block) => kept?.has(block) === true;
  }

  private get ranks(): number[] {
    return this.parts.ledgers.flatMap((ledger, rank) => (ledger === null ? [] : [rank]));
  }
}

/** Blocks of a rank that follow each other, as they come from there. */
interface Run {
  readonly ledger: BlockLedger;
  readonly version: number;
  readonly numKeys: number;
  readonly first: number;
  readonly slots: readonly ComingSlot[];
}

/** Which other rank blocks come from: the one that has most of those that follow, as long as it has any. */
class BestRank {
  private run: Run | null = null;

  constructor(
    private readonly holdings: Holdings,
    private readonly ranks: readonly number[],
    private readonly wanted: Wanted,
  ) {}

  /** Null: none has it. */
  at(index: number): Sighting | null {
    if (this.run === null || index >= endOf(this.run)) this.run = this.longestFrom(index);
    const slot = this.run?.slots[index - this.run.first];
    return slot === undefined ? null : { slot, hasState: slot.hasState };
  }

  private longestFrom(index: number): Run | null {
    let best: Run | null = null;
    for (const rank of this.ranks) {
      const run = this.holdings.runFrom(rank, index, this.wanted);
      if (endOf(run) > Math.max(index, best === null ? 0 : endOf(best))) best = run;
    }
    return best;
  }
}

const endOf = ({ first, slots }: Run): number => first + slots.length;

/** What another instance lends; the state behind the last of it comes along. */
function lentBy({ keys, loan }: Wanted, hasStates: boolean): (index: number) => Sighting | null {
  if (loan === null) return () => null;
  const source: LoanSource = { kind: 'loan', loan };
  return (index) => {
    if (index >= loan.numBlocks) return null;
    const hasState = hasStates && index === loan.numBlocks - 1;
    return { slot: { kind: 'coming', source, origin: 'instance', key: keys.at(index), hasState }, hasState };
  };
}

const FROM_TIERS: LiftSource = { kind: 'tier' };
