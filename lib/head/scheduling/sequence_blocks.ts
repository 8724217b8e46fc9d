/**
 * Which KV blocks sequences hold on which rank: taken as they grow, shared where sequences begin alike, given back when they end or give way. Full
 * ones stay in the rank's cache then, until their room is needed.
 */
import type { KeyedBlock } from '../../protocol/kv_store.js';
import type { StateLimits } from '../../protocol/limits.js';
import type { BlockKeys } from './blocks/block_keys.js';
import { BlockLedger } from './blocks/block_ledger.js';
import { isForOthers, keptEnds, KeptStates } from './blocks/kept_states.js';
import { Pins } from './blocks/pins.js';
import type { BlockOrigin } from '../kv/kv_costs.js';
import type { Lendable, LendableBlocks } from '../kv/lending.js';
import type { PoolCounter } from '../kv/pool_counts.js';
import { Holdings } from './holdings.js';
import { FreedLog, type Freed } from './freed_log.js';
import { numKnownTokens, numSkippable, type Progress, type Running } from './progress.js';
import { StoredBlocks } from './blocks/stored_blocks.js';
import type { Slot } from '../kv/lift_plan.js';
import { RankTiers } from '../kv/rank_tiers.js';
import type { TierRoom } from '../kv/tier_shelf.js';

/** What a rank's ledger found for a sequence, as long as neither changes: policies ask again and again in one step. */
interface Found extends Lookup, FoundOf {}

/** What it depends on. */
interface FoundOf {
  readonly ledger: BlockLedger;
  readonly version: number;
  /** How often who sits changed: versions are of the same ranks. */
  readonly numSeatings: number;
  readonly numKeys: number;
  readonly numLent: number;
}

/** What there is of a sequence's beginning, for one rank. */
export interface Lookup {
  /** In its cache, to begin with at once. */
  readonly blocks: readonly number[];
  /** More of it, those too, where some lie elsewhere; empty: none do. */
  readonly slots: readonly Slot[];
}

/** Of what there is on each rank. */
export interface BlockLimits {
  /** Seats of the job. */
  readonly numRanks: number;
  readonly numKvBlocks: number;
  /** Tokens per KV block. */
  readonly blockSize: number;
  /** Default null: all layers have keys and values. */
  readonly states?: StateLimits | null;
  /** Of the blocks in the last place of a rank, those that may be pinned at once. Default 0. */
  readonly pinShare?: number;
  /** Where blocks go that the cache has no room for, the nearest first. Default none: they are forgotten. */
  readonly tiers?: readonly TierRoom[];
  /** Ranks bring each other what they have. Default false. */
  readonly isPooled?: boolean;
  /** Counts tokens that come from other ranks and instances. Default: nobody does. */
  readonly pool?: Pick<PoolCounter, 'numQueries' | 'numHits'>;
}

/** What somebody holds on a rank, in order of position. */
type HeldBlocks = Pick<Running, 'rank' | 'blocks'>;

/** The ledgers of all ranks, in terms of sequences and tokens. */
export class SequenceBlocks implements LendableBlocks {
  /** By seat; null where nobody sits. */
  private readonly ledgers: (BlockLedger | null)[];
  /** By seat. */
  private readonly found = new WeakMap<BlockKeys, Found[]>();
  private readonly freed = new FreedLog();
  private evicted = 0;
  private refusedPins = 0;
  /** By seat; empty where all layers have keys and values. */
  private readonly kept: KeptStates[] = [];
  /** By seat. */
  private readonly pins: Pins[] = [];
  private readonly blockSize: number;
  private readonly states: StateLimits | null;
  /** Null: nobody follows what is there. */
  private stored: StoredBlocks | null = null;
  readonly tiers: RankTiers;
  private readonly holdings: Holdings;
  private numSeatings = 0;

  /** Of seats that nobody took yet: {@link seat}. */
  constructor(private readonly limits: BlockLimits) {
    const { numRanks, blockSize, states = null, tiers = [], isPooled = false } = limits;
    this.tiers = new RankTiers(numRanks, tiers);
    this.ledgers = new Array<null>(numRanks).fill(null);
    this.blockSize = blockSize;
    this.states = states;
    this.holdings = new Holdings({ ledgers: this.ledgers, kept: this.kept, tiers: this.tiers, isPooled });
  }

  /** Who sits from now on: what others held is gone with them, and who is new holds nothing. */
  seat(present: ReadonlySet<number>): void {
    const { numKvBlocks } = this.limits;
    this.numSeatings++;
    for (const [rank, ledger] of this.ledgers.entries()) {
      if (present.has(rank) === (ledger !== null)) continue;
      ledger?.lose();
      this.tiers.leave(rank);
      const pins = (this.pins[rank] = new Pins(maxPinnedOf(this.limits)));
      const seated = ledger === null ? new BlockLedger(numKvBlocks, pins) : null;
      this.ledgers[rank] = seated;
      if (seated !== null) this.tiers.seat(rank, (key) => seated.find(key) !== undefined, pins);
      if (this.stored !== null) {
        seated?.follow(this.stored);
        this.tiers.of(rank)?.follow(this.stored);
      }
      if (this.states !== null) this.kept[rank] = new KeptStates(numKvBlocks, this.states.maxKept);
    }
    this.freed.enter(present);
  }

  /**
   * Blocks of a rank that is left which a sequence may take: free ones, and cached ones that make room; pinned ones do where they go down to a tier, and for a sequence that
   * is alone there, so that none waits for ever. Why: docs/decisions/kv_store.md#a-pin-outlasts-pressure-not-need
   */
  numAvailable(rank: number, isAlone = false): number {
    const { numFree, numCached, numPinned } = this.ledgers[rank]!;
    return numFree + numCached - (isAlone || this.tiers.of(rank) !== null ? 0 : numPinned);
  }

  /** Blocks of a rank that is left which sequences hold. */
  numUsed(rank: number): number {
    return this.ledgers[rank]!.numUsed;
  }

  /** Blocks of a rank that is left which are pinned for a time, wherever they lie there. */
  numPinned(rank: number): number {
    return this.pins[rank]!.size;
  }

  /** Blocks of a rank that is left which no sequence holds, and whose content may be used again. */
  numCached(rank: number): number {
    return this.ledgers[rank]!.numCached;
  }

  /** Cached blocks whose content was forgotten since the start, because room was needed. */
  get numEvicted(): number {
    return this.evicted;
  }

  /** Full blocks of all ranks that are left: the same object each time, which counts from the first call on. */
  get storedBlocks(): StoredBlocks {
    if (this.stored !== null) return this.stored;
    this.stored = new StoredBlocks();
    for (const ledger of this.ledgers) ledger?.follow(this.stored);
    this.tiers.follow(this.stored);
    return this.stored;
  }

  /** Blocks that were to be pinned since the start, and aren't: too many are. */
  get numRefusedPins(): number {
    return this.refusedPins;
  }

  /** Ranks that are left. */
  get ranks(): number[] {
    return this.ledgers.flatMap((ledger, rank) => (ledger === null ? [] : [rank]));
  }

  /** Blocks of a rank with the beginning of a sequence, of which at least the last token is to be computed. */
  match(rank: number, state: Progress): readonly number[] {
    return this.lookup(rank, state).blocks;
  }

  /** As {@link match}, and what lies elsewhere. */
  lookup(rank: number, state: Progress): Lookup {
    const { keys, loan = null } = state;
    if (keys === null) return NOTHING_FOUND;
    const ledger = this.ledgers[rank]!;
    const kept = this.kept[rank];
    const numKeys = Math.floor(numSkippable(state) / this.blockSize);
    const now = {
      ledger,
      version: this.holdings.versionFor(rank),
      numSeatings: this.numSeatings,
      numKeys,
      numLent: loan?.numBlocks ?? 0,
    };
    const byRank = this.found.get(keys) ?? [];
    this.found.set(keys, byRank);
    const known = byRank[rank];
    if (known !== undefined && isSame(known, now)) return known;
    const hasState = kept && ((block: number): boolean => kept.has(block));
    const blocks = ledger.match(numKeys, (index) => keys.at(index), hasState);
    blocks.length = this.numToBegin(rank, blocks);
    const found = { ...now, blocks, slots: this.holdings.slotsOn(rank, { keys, numKeys, cached: blocks, loan }) };
    byRank[rank] = found;
    return found;
  }

  /** As {@link LendableBlocks.lendable}. */
  lendable(rank: number, keys: readonly string[]): readonly Lendable[] {
    const found = this.holdings.heldBy(rank, keys);
    const blocks = found.flatMap(({ block }) => (block === null ? [] : [block]));
    this.ledgers[rank]!.touch(blocks);
    for (const block of blocks) this.kept[rank]?.use(block);
    return found;
  }

  /** How many of these keys, from the first one on, some rank has. */
  numHeld(keys: readonly string[]): number {
    return Math.max(0, ...this.ranks.map((rank) => this.holdings.heldBy(rank, keys).length));
  }

  /** A request is looked for: so many tokens of its prompt aren't in the cache, and so many of those are elsewhere. */
  countLookup(numTokens: number, numFrom: ReadonlyMap<BlockOrigin, number>, hasLoan: boolean): void {
    this.tiers.countLookup(numTokens, numFrom);
    const { pool, isPooled = false } = this.limits;
    if (pool === undefined || (!isPooled && !hasLoan)) return;
    pool.numQueries += numTokens - (numFrom.get('ram') ?? 0) - (numFrom.get('disk') ?? 0);
  }

  /** So many tokens of a prompt came from elsewhere. */
  countHits(origin: BlockOrigin, numTokens: number): void {
    this.tiers.countHits(origin, numTokens);
    const { pool } = this.limits;
    if (pool !== undefined && (origin === 'rank' || origin === 'instance')) pool.numHits += numTokens;
  }

  /** How many of a rank's blocks no sequence holds. */
  numCachedOf(rank: number, blocks: readonly number[]): number {
    return this.ledgers[rank]!.numCachedOf(blocks);
  }

  /** Those of {@link numCachedOf} that {@link numAvailable} leaves out beside others. */
  numPinnedOf(rank: number, blocks: readonly number[]): number {
    return this.tiers.of(rank) === null ? this.ledgers[rank]!.numPinnedOf(blocks) : 0;
  }

  /** What a sequence has computed stays until then, once nobody holds it. */
  pin({ rank, blocks, keys, numComputed, firstDegraded }: Running, untilMs: number): void {
    if (keys === null) return;
    const numFull = Math.min(Math.floor(Math.min(numComputed, firstDegraded) / this.blockSize), blocks.length);
    this.refusedPins += this.ledgers[rank]!.pin(
      Array.from({ length: numFull }, (_, i) => keys.at(i)),
      untilMs,
    );
  }

  /** What was pinned up to now makes room as what isn't. */
  unpin(nowMs: number): void {
    for (const ledger of this.ledgers) ledger?.unpin(nowMs);
  }

  /** Blocks that a sequence with `numHeld` of them lacks for its first `numTokens` tokens. */
  numLacking(numHeld: number, numTokens: number): number {
    return Math.max(Math.ceil(numTokens / this.blockSize) - numHeld, 0);
  }

  /** Blocks that a sequence with `numHeld` of them lacks for all tokens that there are so far. */
  numAhead(state: Progress, numHeld: number): number {
    return this.numLacking(numHeld, numKnownTokens(state));
  }

  /** Holds further blocks of the rank, which are used or cached. */
  share(rank: number, blocks: readonly number[]): void {
    this.ledgers[rank]!.share(blocks);
    if (blocks.length > 0) this.kept[rank]?.use(blocks.at(-1)!);
  }

  /**
   * Where the state of a sequence is to be kept in a step that takes it to `end` tokens; it holds their blocks.
   *
   * @param isWanted sequences that didn't begin yet need the state of a block
   */
  planKeeps(state: Running, end: number, isWanted: (block: number) => boolean): number[] {
    const kept = this.kept[state.rank];
    if (kept === undefined || state.keys === null) return [];
    const { blockSize, states } = this;
    const tokens = { position: state.numPlanned, end, numPromptTokens: state.promptTokenIds.length };
    const ends = keptEnds(tokens, blockSize, states!.interval).filter((at) =>
      this.planKeep(state.rank, state.blocks[at / blockSize - 1]!, isWanted),
    );
    state.keeps.push(...ends);
    return ends;
  }

  /** Takes blocks for what comes into a rank's cache from elsewhere; as many must be available. */
  take(rank: number, count: number): number[] {
    const ledger = this.ledgers[rank]!;
    this.evicted += this.evict(rank, count - ledger.numFree);
    return ledger.take(count)!;
  }

  /** A block that was taken is full of what `key` stands for. */
  sealKey(rank: number, block: number, key: string): void {
    this.ledgers[rank]!.seal(block, key);
  }

  /** Takes what a sequence lacks for its first `numTokens` tokens; as many must be available. */
  grow({ rank, blocks }: HeldBlocks, numTokens: number): void {
    blocks.push(...this.take(rank, this.numLacking(blocks.length, numTokens)));
  }

  /**
   * Others may share the full blocks of a sequence's tokens from this position on, now that they are computed and count; nothing behind a token that
   * lost an expert.
   */
  seal(state: Running, position: number, isWanted: (block: number) => boolean): void {
    const { rank, blocks, keys, numComputed, firstDegraded } = state;
    if (keys === null) return;
    const end = Math.floor(Math.min(numComputed, firstDegraded) / this.blockSize);
    for (let i = Math.floor(position / this.blockSize); i < end; i++) this.ledgers[rank]!.seal(blocks[i]!, keys.at(i));
    this.commitKeeps(state, end * this.blockSize, isWanted);
  }

  /** As {@link seal}, of one block that holds what one of the sequence's does on its own rank: the one at place `index`, nothing where that isn't full. */
  sealAt(rank: number, block: number, { keys, numComputed, firstDegraded }: Running, index: number): void {
    const isFull = (index + 1) * this.blockSize <= Math.min(numComputed, firstDegraded);
    if (keys !== null && isFull) this.ledgers[rank]!.seal(block, keys.at(index));
  }

  /** Some layers have states: a sequence can begin behind blocks alone that keep one. */
  get hasStates(): boolean {
    return this.states !== null;
  }

  /** Whether a block keeps the state behind its last token. */
  hasState(rank: number, block: number): boolean {
    return this.kept[rank]?.has(block) === true;
  }

  /** How many of these blocks, which are full, a sequence can begin behind. */
  numToBegin(rank: number, blocks: readonly number[]): number {
    return this.hasStates ? blocks.findLastIndex((block) => this.hasState(rank, block)) + 1 : blocks.length;
  }

  /** The place of the last block of a sequence that keeps a state; −1: none does. */
  lastKept({ rank, blocks, numComputed }: Running): number {
    const kept = this.kept[rank];
    const numFull = Math.floor(numComputed / this.blockSize);
    return blocks.slice(0, numFull).findLastIndex((block) => kept?.has(block) === true);
  }

  /** A block that was taken will keep a state from elsewhere: {@link commitKeep} once it does. False: there is no room. `isWanted`: as for {@link planKeeps} */
  planKeep(rank: number, block: number, isWanted: (block: number) => boolean): boolean {
    const victim = this.kept[rank]!.plan(block, isWanted);
    if (victim !== null && victim >= 0) this.forgetState(rank, victim);
    return victim !== null;
  }

  /** The state is there. */
  commitKeep(rank: number, block: number): void {
    this.kept[rank]!.commit(block);
  }

  /** Forgets what is cached on all ranks, unless sequences hold blocks: nothing happens then, and false is returned. */
  reset(): boolean {
    if (this.ranks.some((rank) => this.ledgers[rank]!.numUsed > 0)) return false;
    for (const rank of this.ranks) {
      const evicted = this.ledgers[rank]!.evict(Infinity);
      const blocks = evicted.map(({ block }) => block);
      for (const block of blocks) this.kept[rank]?.forget(block);
      if (blocks.length > 0) this.freed.add(rank, { blocks });
      this.tiers.of(rank)?.clear();
      for (const { key } of evicted) this.pins[rank]!.drop(key);
    }
    return true;
  }

  /** Gives back what a sequence holds beyond its tokens in the cache. */
  shrink(state: Running): void {
    this.shrinkTo(state, Math.ceil(state.numComputed / this.blockSize));
  }

  /** Gives back all but the first blocks. */
  shrinkTo({ rank, blocks }: HeldBlocks, numBlocks: number): void {
    this.release(rank, blocks.splice(numBlocks), []);
  }

  /** Gives back all that a sequence holds; its rank forgets the sequence, and blocks that are not cached. */
  end({ sequence, rank, blocks, hasBegun }: Pick<Running, 'sequence' | 'rank' | 'blocks' | 'hasBegun'>): void {
    this.release(rank, blocks, hasBegun ? [sequence] : []);
  }

  /** What ranks are to forget since the last call; they must hear of it before the next step. */
  takeFreed(): readonly Freed[] {
    for (const rank of this.ranks) this.noteOrders(rank);
    return this.freed.take();
  }

  /** Has a rank forget up to `count` cached blocks, which go down to its tiers; returns how many. */
  private evict(rank: number, count: number): number {
    const evicted = this.ledgers[rank]!.evict(count);
    for (const { block, key } of evicted) {
      const keep = this.putDown(rank, { block, key }, this.hasState(rank, block));
      this.kept[rank]?.forget(block);
      this.freed.add(rank, { blocks: [block], keep });
    }
    return evicted.length;
  }

  /** A block goes into the first tier, where there is any. Returns what the rank is to read out of its cache. */
  private putDown(rank: number, { block, key }: KeyedBlock, hasState: boolean): KeyedBlock[] {
    const tiers = this.tiers.of(rank);
    const isKept = tiers?.put(key, hasState) === true;
    if (tiers === null && this.ledgers[rank]!.find(key) === undefined) this.pins[rank]!.drop(key);
    this.noteOrders(rank);
    return isKept ? [{ block, key }] : [];
  }

  private noteOrders(rank: number): void {
    this.freed.order(rank, this.tiers.of(rank)?.takeOrders() ?? []);
  }

  /** A block stays, and its state goes down to the tiers, with what the block holds. */
  private forgetState(rank: number, block: number): void {
    const key = this.ledgers[rank]!.keyAt(block);
    const keep = key === undefined ? [] : this.putDown(rank, { block, key }, true);
    this.freed.add(rank, { states: [block], keep });
  }

  private release(rank: number, held: readonly number[], sequences: readonly number[]): void {
    const blocks = this.ledgers[rank]!.release(held);
    for (const block of blocks) this.kept[rank]?.forget(block);
    if (blocks.length + sequences.length > 0) this.freed.add(rank, { blocks, sequences });
  }

  /** The states that were written count, up to `sealed` tokens; the one that the sequence itself would have gone on from makes room. */
  private commitKeeps(state: Running, sealed: number, isWanted: (block: number) => boolean): void {
    const { rank, keeps, blocks, numComputed, promptTokenIds } = state;
    while (keeps.length > 0 && keeps[0]! <= numComputed) {
      const at = keeps.shift()!;
      const block = blocks[at / this.blockSize - 1]!;
      if (at > sealed) {
        this.drop(rank, block);
        continue;
      }
      this.kept[rank]!.commit(block);
      if (state.ownKeep !== null && !isWanted(state.ownKeep)) this.drop(rank, state.ownKeep);
      const isOthers = isForOthers(at, promptTokenIds.length, this.blockSize, this.states!.interval);
      state.ownKeep = isOthers ? null : block;
    }
  }

  /** A block stays, and its state goes. */
  private drop(rank: number, block: number): void {
    this.kept[rank]!.forget(block);
    this.freed.add(rank, { states: [block] });
  }
}

const isSame = (known: FoundOf, now: FoundOf): boolean =>
  known.ledger === now.ledger &&
  known.version === now.version &&
  known.numSeatings === now.numSeatings &&
  known.numKeys === now.numKeys &&
  known.numLent === now.numLent;

const NOTHING_FOUND: Lookup = { blocks: [], slots: [] };

/** Of one rank, however large its tiers are: each takes some hundred bytes of the head. */
const MAX_PINNED = 2 ** 18;

/** Of a rank: what is pinned leaves its last place last. */
function maxPinnedOf({ numKvBlocks, pinShare = 0, tiers = [] }: BlockLimits): number {
  const last = tiers.at(-1);
  const numBlocks = last === undefined ? numKvBlocks : Math.floor(last.maxBytes / last.bytesOf(false));
  return Math.min(Math.floor(pinShare * numBlocks), MAX_PINNED);
}
