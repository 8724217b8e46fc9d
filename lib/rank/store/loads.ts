/**
 * Blocks of sequences that are filled with what lies in tiers. Why: docs/decisions/kv_store.md#the-head-says-what-lies-where-the-rank-has-the-bytes
 */
import { setImmediate as turn } from 'node:timers/promises';
import { ExpertError } from '../../../compute/base/errors.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { KeyedBlock, LiftReport, LoadOrder } from '../../protocol/kv_store.js';
import type { StoredBlock } from './block_file.js';

/** Where blocks come from and go to, and who hears what came of a load. */
export interface LoadsParts {
  readonly cache: Pick<KvCache, 'write'>;
  /** Null: it isn't there, or damaged. */
  readonly read: (key: string) => Promise<StoredBlock | null>;
  readonly tell: (report: LiftReport) => void;
  /** Why the cache took a block back no more, other than for lack of memory. */
  readonly onFailure: (error: unknown) => void;
}

/** Files of one load that are read at once. */
const AHEAD = 4;
/** Time that blocks may be written before sockets and steps get their turn. */
const TURN_AFTER_MS = 5;

/** The loads of one rank. */
export class Loads {
  private readonly running = new Map<number, AbortController>();

  constructor(private readonly parts: LoadsParts) {}

  /** A load that will begin; {@link cancel} ends it also before. */
  announce(load: number): AbortSignal {
    const cancelled = new AbortController();
    this.running.set(load, cancelled);
    return cancelled.signal;
  }

  /** Resolves when it is over; nobody hears of one that was cancelled. `signal`: of {@link announce} */
  async run({ load, blocks }: LoadOrder, signal: AbortSignal): Promise<void> {
    const isCancelled = (): boolean => signal.aborted;
    if (isCancelled()) return;
    const startMs = performance.now();
    const done = await this.fill(blocks, signal);
    if (isCancelled()) return;
    this.running.delete(load);
    this.parts.tell({ load, ...done, tookMs: performance.now() - startMs });
  }

  /** From now on nothing is written, and nobody hears of this load again. */
  cancel(load: number): void {
    this.running.get(load)?.abort();
    this.running.delete(load);
  }

  /** Of all loads. */
  cancelAll(): void {
    for (const load of [...this.running.keys()]) this.cancel(load);
  }

  private async fill(
    blocks: readonly KeyedBlock[],
    signal: AbortSignal,
  ): Promise<Pick<LiftReport, 'numBlocks' | 'payloadBytes' | 'lost'>> {
    const read = blocks.slice(0, AHEAD).map(({ key }) => this.parts.read(key));
    let payloadBytes = 0;
    let turnedMs = performance.now();
    for (const [numBlocks, { block, key }] of blocks.entries()) {
      const stored = await read[numBlocks]!;
      if (signal.aborted) break;
      if (stored === null) return { numBlocks, payloadBytes, lost: [key] };
      if (!this.write(block, stored)) return { numBlocks, payloadBytes, lost: [] };
      payloadBytes += stored.bytes.byteLength;
      const next = blocks[numBlocks + AHEAD];
      if (next !== undefined) read.push(this.parts.read(next.key));
      if (performance.now() - turnedMs < TURN_AFTER_MS) continue;
      await turn();
      turnedMs = performance.now();
    }
    return { numBlocks: blocks.length, payloadBytes, lost: [] };
  }

  /** False: the cache didn't take it. */
  private write(block: number, { bytes }: StoredBlock): boolean {
    try {
      this.parts.cache.write(block, bytes);
      return true;
    } catch (error) {
      if (!(error instanceof ExpertError && error.code === 'OUT_OF_MEMORY')) this.parts.onFailure(error);
      return false;
    }
  }
}
