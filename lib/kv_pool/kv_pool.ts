/**
 * A pool of KV blocks with MemServe's verbs (MemPool): memory for blocks, an index from tokens to blocks, and blocks that go to other pools. An engine has all of it
 * inside; here it stands alone, for a cache of something else, an experiment, or an engine of one's own. Why: docs/decisions/kv_store.md#a-pool-is-the-parts-of-an-engine
 */
import { BlockHasher, BlockKeys } from '../head/scheduling/blocks/block_keys.js';
import { BlockLedger } from '../head/scheduling/blocks/block_ledger.js';
import { Pins } from '../head/scheduling/blocks/pins.js';
import { BlockMemory } from './block_memory.js';
import { KvPoolError } from './errors.js';
import { checkedPoolOptions, type KvPoolOptions } from './pool_options.js';

/** Blocks that hold the beginning of some tokens; whoever asked holds them, until they are freed. */
export interface KvMatch {
  /** In order of position. */
  readonly blocks: readonly number[];
  /** As many as the blocks have. */
  readonly numTokens: number;
}

/** What a pool has at a moment. */
export interface KvPoolUse {
  readonly numBlocks: number;
  /** Held by somebody. */
  readonly numUsed: number;
  /** Held by nobody, with known content: they make room. */
  readonly numCached: number;
  /** Cached ones that are pinned: they make room last. */
  readonly numPinned: number;
}

/**
 * Blocks, each with a number. Whoever allocates or matches blocks holds them once, and frees them once. A block that nobody holds and that was inserted stays until its
 * room is needed, the least recently used one first; it is found until then.
 */
export class KvPool {
  private readonly ledger: BlockLedger;
  private readonly memory = new BlockMemory();
  private readonly hasher: BlockHasher;
  private isClosed = false;

  private constructor(private readonly options: KvPoolOptions) {
    const { numBlocks, blockSize, identity = '' } = options;
    this.ledger = new BlockLedger(numBlocks, new Pins(numBlocks));
    this.hasher = new BlockHasher(blockSize, { seed: identity, separatesForms: false });
  }

  /** @throws KvPoolError INVALID_ARGUMENT: which option can't be */
  static async open(options: KvPoolOptions): Promise<KvPool> {
    return Promise.resolve(new KvPool(checkedPoolOptions(options)));
  }

  /** What there is now. */
  get use(): KvPoolUse {
    this.ledger.unpin(performance.now());
    const { numBlocks, numUsed, numCached, numPinned } = this.ledger;
    return { numBlocks, numUsed, numCached, numPinned };
  }

  /** So many blocks, which hold nothing yet; what is cached makes room. @throws KvPoolError OUT_OF_BLOCKS, INVALID_ARGUMENT */
  alloc(count: number): readonly number[] {
    this.check();
    if (!Number.isInteger(count) || count < 0) throw invalid(`${count} blocks; give a whole number from 0`);
    this.makeRoom(count);
    const blocks = this.ledger.take(count);
    if (blocks !== null) return blocks;
    const { numBlocks, numUsed } = this.ledger;
    throw new KvPoolError('OUT_OF_BLOCKS', `${count} of ${numBlocks} blocks, and ${numUsed} are held; free some`);
  }

  /** Fills a block that the caller holds; the bytes stay the caller's. Not one that was inserted: others may read it. @throws KvPoolError INVALID_ARGUMENT */
  write(block: number, bytes: Uint8Array): void {
    this.checkHeld([block]);
    const { blockBytes } = this.options;
    if (bytes.byteLength !== blockBytes) {
      throw invalid(`${bytes.byteLength} bytes for a block of ${blockBytes}; give all of it`);
    }
    if (this.ledger.isSealed(block)) throw invalid(`block ${block} was inserted; allocate another one`);
    this.memory.write(block, bytes);
  }

  /** A copy of what a block holds that the caller holds. @throws KvPoolError INVALID_ARGUMENT: nothing was written to it */
  async read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    this.checkFilled([block]);
    return this.memory.read(block);
  }

  /**
   * From now on whoever asks for the beginning of these tokens finds these blocks, in order of position: as many as the tokens fill, or fewer. The caller goes on holding
   * them. @throws KvPoolError INVALID_ARGUMENT
   */
  insert(tokenIds: readonly number[], blocks: readonly number[]): void {
    const keys = this.keysOf(tokenIds);
    if (blocks.length > keys.length) {
      throw invalid(`${blocks.length} blocks, and ${tokenIds.length} tokens fill ${keys.length}; give the tokens too`);
    }
    this.checkFilled(blocks);
    for (const [i, block] of blocks.entries()) this.ledger.seal(block, keys[i]!);
  }

  /** The longest beginning of these tokens that is here. The caller holds its blocks. @throws KvPoolError CLOSED, INVALID_ARGUMENT */
  async match(tokenIds: readonly number[]): Promise<KvMatch> {
    const keys = this.keysOf(tokenIds);
    const blocks = this.ledger.match(keys.length, (i) => keys[i]!);
    this.ledger.share(blocks);
    return Promise.resolve({ blocks, numTokens: blocks.length * this.options.blockSize });
  }

  /**
   * Forgets what these tokens fill from token `from` on, unless somebody holds it; what was inserted behind them isn't found any more either. Returns how many blocks are free
   * now. @throws KvPoolError CLOSED, INVALID_ARGUMENT
   */
  delete(tokenIds: readonly number[], from = 0): number {
    const freed = this.ledger.drop(this.keysOf(tokenIds).slice(Math.ceil(from / this.options.blockSize)));
    this.memory.free(freed);
    return freed.length;
  }

  /** What these tokens fill stays for so long, once nobody holds it, before what others left. @throws KvPoolError CLOSED, INVALID_ARGUMENT */
  pin(tokenIds: readonly number[], ms: number): void {
    if (!(ms >= 0)) throw invalid(`${ms} ms to pin; give a number from 0`);
    this.ledger.pin(this.keysOf(tokenIds), performance.now() + ms);
  }

  /** The caller holds these no more, in order of position. @throws KvPoolError INVALID_ARGUMENT: it doesn't hold them */
  free(blocks: readonly number[]): void {
    this.checkHeld(blocks);
    this.memory.free(this.ledger.release(blocks));
  }

  /** Idempotent: everything is forgotten. */
  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }

  private makeRoom(count: number): void {
    this.ledger.unpin(performance.now());
    this.memory.free(this.ledger.evict(count - this.ledger.numFree));
  }

  private keysOf(tokenIds: readonly number[]): string[] {
    this.check();
    if (!tokenIds.every((id) => Number.isInteger(id) && Math.abs(id) < 2 ** 31)) {
      throw invalid('token ids that are no whole numbers of 32 bits; give those of the model');
    }
    const keys = new BlockKeys(this.hasher, { promptTokenIds: tokenIds, outputTokenIds: [] });
    return Array.from({ length: Math.floor(tokenIds.length / this.options.blockSize) }, (_, i) => keys.at(i));
  }

  private checkHeld(blocks: readonly number[]): void {
    this.check();
    const other = blocks.find((block) => !this.ledger.isUsed(block));
    if (other !== undefined) throw invalid(`nobody holds block ${other}; allocate or match it first`);
  }

  private checkFilled(blocks: readonly number[]): void {
    this.checkHeld(blocks);
    const empty = blocks.find((block) => !this.memory.has(block));
    if (empty !== undefined) throw invalid(`nothing was written to block ${empty}; write it first`);
  }

  private check(): void {
    if (this.isClosed) throw new KvPoolError('CLOSED', 'the pool was closed; open another one');
  }
}

const invalid = (text: string): KvPoolError => new KvPoolError('INVALID_ARGUMENT', text);
