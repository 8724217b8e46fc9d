/**
 * A pool of KV blocks with MemServe's verbs (MemPool): memory for blocks, an index from tokens to blocks, and blocks that go to other pools. An engine has all of it
 * inside; here it stands alone, for a cache of something else, an experiment, or an engine of one's own. Why: docs/decisions/kv_store.md#a-pool-is-the-parts-of-an-engine
 */
import { shown } from '../../base/foreign_text.js';
import { BlockHasher, BlockKeys } from '../head/scheduling/blocks/block_keys.js';
import type { TierCounts } from '../protocol/kv_use.js';
import { KvPoolError } from './errors.js';
import { PoolBlocks, type KvPoolUse } from './pool_blocks.js';
import type { KvPoolAddress } from './pool_link.js';
import { checkedPoolOptions, type KvPoolOptions } from './pool_options.js';
import { poolPlanOf } from './pool_tiers.js';
import { PoolTransfers } from './pool_transfers.js';

/** Blocks that hold the beginning of some tokens; whoever asked holds them, until they are freed. */
export interface KvMatch {
  /** In order of position. */
  readonly blocks: readonly number[];
  /** As many as the blocks have. */
  readonly numTokens: number;
}

/**
 * Blocks, each with a number. Whoever allocates or matches blocks holds them once, and frees them once. A block that nobody holds and that was inserted stays until its
 * room is needed, the least recently used one first; it is found until then.
 */
export class KvPool {
  private readonly transfers: PoolTransfers;
  private readonly hasher: BlockHasher;
  private isClosed = false;

  private constructor(
    private readonly options: KvPoolOptions,
    private readonly blocks: PoolBlocks,
  ) {
    const { blockSize, identity = '' } = options;
    this.hasher = new BlockHasher(blockSize, { seed: identity, separatesForms: false });
    this.transfers = new PoolTransfers(options, blocks);
  }

  /** @throws KvPoolError INVALID_ARGUMENT: which option can't be; CommError: why it can't listen */
  static async open(options: KvPoolOptions): Promise<KvPool> {
    const { tiers, ...checked } = checkedPoolOptions(options);
    const { identity = '', blockSize, blockBytes, onNotice = (): void => undefined } = checked;
    const plan = poolPlanOf(tiers, { identity, blockSize, blockBytes });
    const pool = new KvPool(options, await PoolBlocks.open(checked, plan, onNotice));
    try {
      await pool.transfers.listen();
    } catch (error) {
      await pool.close();
      throw error;
    }
    return pool;
  }

  /** Where others bring blocks; null: nowhere. */
  get address(): KvPoolAddress | null {
    return this.transfers.address;
  }

  /** What there is now. */
  get use(): KvPoolUse {
    return this.blocks.use;
  }

  /** What came of tiers since the pool was opened, the nearest first; tokens are those that {@link match} looked for. */
  get counts(): readonly TierCounts[] {
    return this.blocks.counts;
  }

  /** So many blocks, which hold nothing yet; what is cached makes room. @throws KvPoolError OUT_OF_BLOCKS, INVALID_ARGUMENT, CLOSED */
  alloc(count: number): readonly number[] {
    this.check();
    if (!Number.isInteger(count) || count < 0) throw invalid(`${count} blocks; give a whole number from 0`);
    const blocks = this.blocks.take(count);
    if (blocks !== null) return blocks;
    const { numBlocks, numUsed } = this.blocks.ledger;
    throw new KvPoolError('OUT_OF_BLOCKS', `${count} of ${numBlocks} blocks, and ${numUsed} are held; free some`);
  }

  /** Fills a block that the caller holds; the bytes stay the caller's. Not one that was inserted: others may read it. @throws KvPoolError INVALID_ARGUMENT, CLOSED */
  write(block: number, bytes: Uint8Array): void {
    this.checkHeld([block]);
    const { blockBytes } = this.options;
    if (bytes.byteLength !== blockBytes) {
      throw invalid(`${bytes.byteLength} bytes for a block of ${blockBytes}; give all of it`);
    }
    if (this.blocks.ledger.keyFor(block) !== undefined)
      throw invalid(`block ${block} was inserted; allocate another one`);
    this.blocks.memory.write(block, bytes);
  }

  /** A copy of what a block holds that the caller holds. @throws KvPoolError INVALID_ARGUMENT: nothing was written to it; CLOSED */
  async read(block: number): Promise<Uint8Array<ArrayBuffer>> {
    this.checkFilled([block]);
    return this.blocks.memory.read(block);
  }

  /**
   * From now on whoever asks for the beginning of these tokens finds these blocks, in order of position: as many as the tokens fill, or fewer. The caller goes on holding
   * them. @throws KvPoolError INVALID_ARGUMENT, CLOSED
   */
  insert(tokenIds: readonly number[], blocks: readonly number[]): void {
    this.blocks.seal(blocks, this.keysOfBlocks(tokenIds, blocks));
  }

  /** The longest beginning of these tokens that is here; what lies in tiers comes up first. The caller holds its blocks. @throws KvPoolError INVALID_ARGUMENT, CLOSED */
  async match(tokenIds: readonly number[]): Promise<KvMatch> {
    const blocks = await this.blocks.match(this.keysOf(tokenIds));
    if (this.isClosed) this.check();
    return { blocks, numTokens: blocks.length * this.options.blockSize };
  }

  /**
   * Forgets what these tokens fill from token `from` on, unless somebody holds it; what was inserted behind them isn't found any more either. Returns how many blocks are free
   * now. @throws KvPoolError INVALID_ARGUMENT, CLOSED
   */
  delete(tokenIds: readonly number[], from = 0): number {
    if (!Number.isInteger(from) || from < 0) throw invalid(`token ${from} to begin at; give a whole number from 0`);
    return this.blocks.drop(this.keysOf(tokenIds).slice(Math.ceil(from / this.options.blockSize)));
  }

  /** What these tokens fill stays for so long, once nobody holds it, before what others left. @throws KvPoolError INVALID_ARGUMENT, CLOSED */
  pin(tokenIds: readonly number[], ms: number): void {
    if (!(ms >= 0)) throw invalid(`${ms} ms to pin; give a number from 0`);
    this.blocks.pin(this.keysOf(tokenIds), ms);
  }

  /** The caller holds these no more, in order of position. @throws KvPoolError INVALID_ARGUMENT: it doesn't hold them; CLOSED */
  free(blocks: readonly number[]): void {
    this.checkHeld(blocks);
    if (new Set(blocks).size < blocks.length) throw invalid('a block twice; free what was matched twice in two calls');
    this.blocks.release(blocks);
  }

  /**
   * Copies blocks that the caller holds into blocks of another pool, whose owner has them then (`onBlocks`). Resolves with their numbers there.
   * @throws KvPoolError NOT_LISTENING, REFUSED, TRANSFER_FAILED, INVALID_ARGUMENT, CLOSED; the reason of `signal`
   */
  async transfer(to: KvPoolAddress, blocks: readonly number[], signal?: AbortSignal): Promise<readonly number[]> {
    checkAddress(to);
    this.checkFilled(blocks);
    return this.transfers.send(to, { blocks, keys: null }, signal);
  }

  /**
   * Copies the blocks of some tokens, as for {@link insert}, into another pool, where whoever asks for these tokens finds them from then on; what it has already doesn't travel.
   * Errors as those of {@link transfer}.
   */
  async transferWithInsert(
    to: KvPoolAddress,
    tokenIds: readonly number[],
    blocks: readonly number[],
    signal?: AbortSignal,
  ): Promise<readonly number[]> {
    checkAddress(to);
    return this.transfers.send(to, { blocks, keys: this.keysOfBlocks(tokenIds, blocks) }, signal);
  }

  /** Idempotent: transfers end, and all is forgotten but what is on disk. */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.transfers.close();
    await this.blocks.close();
  }

  /** One for each of the blocks. */
  private keysOfBlocks(tokenIds: readonly number[], blocks: readonly number[]): string[] {
    const keys = this.keysOf(tokenIds);
    if (blocks.length > keys.length) {
      throw invalid(`${blocks.length} blocks, and ${tokenIds.length} tokens fill ${keys.length}; give the tokens too`);
    }
    this.checkFilled(blocks);
    const { ledger } = this.blocks;
    const other = blocks.find((block, i) => (ledger.keyFor(block) ?? keys[i]) !== keys[i]);
    if (other !== undefined)
      throw invalid(`block ${other} was inserted for other tokens; give those, or another block`);
    return keys.slice(0, blocks.length);
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
    const { ledger } = this.blocks;
    const other = blocks.find((block) => ledger.numHoldersOf(block) === 0);
    if (other !== undefined) throw invalid(`nobody holds block ${other}; allocate or match it first`);
  }

  private checkFilled(blocks: readonly number[]): void {
    this.checkHeld(blocks);
    const empty = blocks.find((block) => !this.blocks.memory.has(block));
    if (empty !== undefined) throw invalid(`nothing was written to block ${empty}; write it first`);
  }

  private check(): void {
    if (this.isClosed) throw new KvPoolError('CLOSED', 'the pool was closed; open another one');
  }
}

/** Callers may be JavaScript. @throws KvPoolError INVALID_ARGUMENT */
function checkAddress(to: Partial<KvPoolAddress> | null | undefined): void {
  const isOne = typeof to?.host === 'string' && typeof to.port === 'number' && typeof to.key === 'string';
  if (!isOne) throw invalid(`${shown(to ?? null)} is no address of a pool; give that of another one, which listens`);
}

const invalid = (text: string): KvPoolError => new KvPoolError('INVALID_ARGUMENT', text);
