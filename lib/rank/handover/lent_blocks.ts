/** Blocks of this rank that others may read, by leases that list them. Why: docs/decisions/kv_store.md#a-loan-holds-nothing */
import { setImmediate as turn } from 'node:timers/promises';
import { CommError } from '../../../comm/base/errors.js';
import type { KvBlocksReader } from '../../../comm/kv/kv_link.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { BlockBytes } from '../../model/spec/cache_layout.js';
import type { LendOrder, LentBlock } from '../../protocol/handover.js';
import { leaseOver } from './lease.js';

/** Where blocks are read from. */
export interface LentBlocksParts {
  readonly cache: Pick<KvCache, 'read'>;
  readonly blockBytes: BlockBytes;
  /** Of a tier of this rank, by key; null: it isn't there any more. */
  readonly readTier: (key: string) => Promise<Uint8Array | null>;
}

/** One lease. */
interface Lent {
  readonly token: string;
  readonly items: readonly LentBlock[];
  /** When tiers have what they were told to keep before. */
  readonly freed: Promise<void>;
  readonly readers: Set<KvBlocksReader>;
}

/** Of one lease: so many who fail may still be there when the next one comes. */
const MAX_READERS = 4;
/** Time that blocks may be read before sockets and steps get their turn. */
const TURN_AFTER_MS = 5;

/** What this rank lends. */
export class LentBlocks {
  private readonly leases = new Map<string, Lent>();

  constructor(private readonly parts: LentBlocksParts) {}

  /** Lets others read; from tiers when it is `freed` what was to be before: it goes there. */
  lend({ id, token, items }: LendOrder, freed: Promise<void>): void {
    this.leases.set(id, { token, items, freed, readers: new Set() });
  }

  /** Nothing is read any more by this lease: what of a block has left is no block. */
  release(id: string): void {
    const lent = this.leases.get(id);
    this.leases.delete(id);
    if (lent === undefined) return;
    for (const reader of lent.readers) reader.end(leaseOver());
  }

  /** Of all leases. */
  releaseAll(): void {
    for (const id of [...this.leases.keys()]) this.release(id);
  }

  /** What who reads by it must prove to know; null: it is not in force. */
  tokenOf(id: string): string | null {
    return this.leases.get(id)?.token ?? null;
  }

  /** Sends what it wants, block by block. */
  onReader(id: string, reader: KvBlocksReader): void {
    const lent = this.leases.get(id);
    const refusal = lent === undefined ? leaseOver() : this.refusalOf(lent, reader);
    if (lent === undefined || refusal !== null) {
      reader.end(refusal);
      return;
    }
    lent.readers.add(reader);
    reader.gone.addEventListener('abort', () => lent.readers.delete(reader), { once: true });
    const isOver = (): boolean => this.leases.get(id) !== lent || reader.gone.aborted;
    void this.send(reader, lent, isOver).catch((error: unknown) => reader.end(error));
  }

  /** Resolves when all was sent, one isn't there any more, the lease is over or the reader is gone. */
  private async send(reader: KvBlocksReader, { items, freed }: Lent, isOver: () => boolean): Promise<void> {
    const { first, numBlocks } = reader.wish;
    let turnedMs = performance.now();
    for (const [i, item] of items.slice(first, first + numBlocks).entries()) {
      const bytes = await this.bytesOf(item, freed);
      if (isOver()) return;
      if (bytes === null) throw notThere(first + i);
      await reader.send({ at: first + i, key: item.key, bytes });
      if (isOver()) return;
      if (performance.now() - turnedMs < TURN_AFTER_MS) continue;
      await turn();
      turnedMs = performance.now();
      if (isOver()) return;
    }
  }

  /** As it is at the time of the call: who is told to forget a block has ended its lease before. */
  private bytesOf({ key, block }: LentBlock, freed: Promise<void>): Promise<Uint8Array | null> {
    return block === null ? freed.then(() => this.parts.readTier(key)) : this.parts.cache.read(block);
  }

  private refusalOf({ items, readers }: Lent, { wish }: KvBlocksReader): CommError | null {
    const { rows, state } = this.parts.blockBytes;
    if (wish.rowBytes !== rows || wish.stateBytes !== state) {
      const other = `blocks of ${wish.rowBytes} bytes and states of ${wish.stateBytes} are wanted`;
      return refusal('INVALID_ARGUMENT', `${other}, and these are ${rows} and ${state}; serve the same model`);
    }
    if (wish.first + wish.numBlocks > items.length) {
      const asked = `block ${wish.first + wish.numBlocks - 1} of ${items.length} that are lent`;
      return refusal('INVALID_ARGUMENT', `${asked} is wanted; ask for those that the loan names`);
    }
    if (readers.size < MAX_READERS) return null;
    return refusal('LIMIT', `${MAX_READERS} read by this lease already; end one of them`);
  }
}

const refusal = (code: 'INVALID_ARGUMENT' | 'LIMIT', text: string): CommError =>
  new CommError(code, text, { phase: 'kv' });

const notThere = (at: number): CommError =>
  new CommError('CLOSED', `block ${at} of the lease is not there any more; compute it`, { phase: 'kv' });
