/** Blocks that go from pool to pool: the source lends them, and the target reads. Why: docs/decisions/handover.md#who-asks-pulls */
import { createHash, randomBytes } from 'node:crypto';
import { LentBlocks } from '../rank/handover/lent_blocks.js';
import { fetchBlocks } from '../rank/handover/fetching.js';
import { KvPoolError } from './errors.js';
import type { PoolBlocks } from './pool_blocks.js';
import { PoolDoor } from './pool_door.js';
import { bring, type KvPoolAddress } from './pool_link.js';
import { MAX_TRANSFERRED_BLOCKS, type BringOrder } from './pool_messages.js';
import type { KvPoolOptions } from './pool_options.js';

const DEFAULT_TIMEOUT_MS = 30_000;

/** What is sent. */
export interface Sent {
  readonly blocks: readonly number[];
  /** Of the tokens that they hold, from the first block of a sequence on; null: they are nobody's in particular. */
  readonly keys: readonly string[] | null;
}

/** Both ends of transfers, of one pool. */
export class PoolTransfers {
  private readonly lent: LentBlocks;
  private readonly ended = new AbortController();
  private door: PoolDoor | null = null;
  private readonly blockBytes: { readonly rows: number; readonly state: number };
  private readonly identity: string;
  private readonly timeoutMs: number;

  constructor(
    private readonly options: KvPoolOptions,
    private readonly blocks: PoolBlocks,
  ) {
    this.blockBytes = { rows: options.blockBytes, state: 0 };
    this.identity = createHash('sha256')
      .update(options.identity ?? '')
      .digest('hex');
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.lent = new LentBlocks({
      ...{ cache: blocks.memory, blockBytes: this.blockBytes },
      readTier: () => Promise.resolve(null),
    });
  }

  /** Null: nobody can reach it. */
  get address(): KvPoolAddress | null {
    return this.door?.address ?? null;
  }

  /** @throws CommError ADDRESS_IN_USE, UNREACHABLE, INVALID_ARGUMENT */
  async listen(): Promise<void> {
    const { listen } = this.options;
    const take = (order: BringOrder, signal: AbortSignal): Promise<readonly number[]> => this.take(order, signal);
    if (listen !== undefined) this.door = await PoolDoor.open(listen, this.timeoutMs, { lent: this.lent, take });
  }

  /** Has another pool read blocks, which are held meanwhile; resolves with their numbers there. @throws KvPoolError */
  async send(to: KvPoolAddress, { blocks, keys }: Sent, signal: AbortSignal = NEVER): Promise<readonly number[]> {
    const { door } = this;
    if (door === null) {
      throw new KvPoolError('NOT_LISTENING', 'others read the blocks from this pool; open it with listen');
    }
    if (blocks.length > MAX_TRANSFERRED_BLOCKS) {
      const text = `${blocks.length} blocks, and ${MAX_TRANSFERRED_BLOCKS} go in one transfer; send the rest in another`;
      throw new KvPoolError('INVALID_ARGUMENT', text);
    }
    if (blocks.length === 0) return [];
    const lease = { id: randomBytes(16).toString('hex'), token: randomBytes(32).toString('hex') };
    const named = keys ?? blocks.map((_, i) => digestOf(`${lease.id} ${i}`));
    const { blockBytes, blockSize } = this.options;
    const order: BringOrder = {
      ...{ identity: this.identity, blockBytes, blockSize, lease, place: door.blocks.address },
      ...{ keys: named.map((key) => Buffer.from(key, 'latin1').toString('hex')), isInserted: keys !== null },
    };
    this.blocks.ledger.share(blocks);
    this.lent.lend({ ...lease, items: blocks.map((block, i) => ({ block, key: named[i]! })) }, Promise.resolve());
    try {
      const { tls } = this.options.listen ?? {};
      const both = AbortSignal.any([signal, this.ended.signal]);
      return await bring(to, order, { tls, timeoutMs: this.timeoutMs, signal: both });
    } finally {
      this.lent.release(lease.id);
      this.blocks.release(blocks);
    }
  }

  /** Idempotent: nothing is sent or taken any more. */
  async close(): Promise<void> {
    this.ended.abort(new KvPoolError('CLOSED', 'the pool was closed; open another one'));
    this.lent.releaseAll();
    await this.door?.close();
  }

  /** Reads what another pool lends: what is inserted, and here already, stays where it is. */
  private async take(order: BringOrder, gone: AbortSignal): Promise<readonly number[]> {
    const { isInserted, keys: digits, lease, place } = order;
    this.check(order);
    const keys = digits.map((each) => Buffer.from(each, 'hex').toString('latin1'));
    const found = isInserted ? this.blocks.matchHere(keys) : [];
    const fresh = this.blocks.take(keys.length - found.length);
    if (fresh === null) {
      this.blocks.release(found);
      throw new KvPoolError('REFUSED', `no room for ${keys.length - found.length} blocks; free some there`);
    }
    const all = [...found, ...fresh];
    const wanted = fresh.map((block, i) => ({ block, key: keys[found.length + i]! }));
    const got = { payloadBytes: 0, numBlocks: 0 };
    const signal = AbortSignal.any([gone, this.ended.signal]);
    try {
      const fetch = { pull: 0, lease, place, first: found.length, blocks: wanted };
      const parts = { cache: this.blocks.memory, blockBytes: this.blockBytes, network: this.door!.network };
      await fetchBlocks(fetch, parts, { freed: Promise.resolve(), signal, got });
      signal.throwIfAborted();
    } catch (error) {
      // What came whole stays for whoever asks for it.
      if (isInserted) this.blocks.seal(fresh.slice(0, got.numBlocks), keys.slice(found.length));
      this.blocks.release(all);
      throw error;
    }
    if (!isInserted) this.options.onBlocks!(all);
    else {
      this.blocks.seal(all, keys);
      this.blocks.release(all);
    }
    return all;
  }

  /** @throws KvPoolError REFUSED */
  private check({ identity, blockBytes, blockSize, isInserted }: BringOrder): void {
    const own = this.options;
    if (blockBytes !== own.blockBytes || blockSize !== own.blockSize) {
      const theirs = `blocks of ${blockSize} tokens and ${blockBytes} bytes`;
      throw new KvPoolError('REFUSED', `${theirs}, and these are of ${own.blockSize} and ${own.blockBytes}`);
    }
    if (isInserted && identity !== this.identity) {
      throw new KvPoolError('REFUSED', 'the blocks are of another identity; open both pools with the same');
    }
    if (!isInserted && own.onBlocks === undefined) {
      throw new KvPoolError('REFUSED', 'blocks without tokens are nobody’s there; open that pool with onBlocks');
    }
  }
}

const NEVER = new AbortController().signal;

/** 32 characters of a byte each, as keys are. */
const digestOf = (text: string): string => createHash('sha256').update(text).digest('binary');
