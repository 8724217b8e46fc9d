/**
 * Keys and values that come here: rows of sequences that go on here, and blocks, read from other ranks.
 * Why: docs/decisions/handover.md#a-pull-writes-beside-the-steps-but-behind-what-is-to-be-forgotten
 */
import type { KvNetwork } from '../../../comm/kv/kv_link.js';
import { remoteErrorOf } from '../../../comm/base/errors.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { FetchOrder, KvShape, PullOrder, PullReport } from '../../protocol/handover.js';
import { fetchBlocks, type FetchParts, type Got } from './fetching.js';
import { takeAll, type TakingTerms } from './taking.js';

/** Where rows and blocks come from and go to, and who hears what came of a pull. */
export interface ImportsParts extends FetchParts {
  readonly cache: Pick<KvCache, 'write' | 'writeRows'>;
  readonly shape: KvShape;
  readonly network: Pick<KvNetwork, 'dial' | 'dialBlocks'>;
  readonly tell: (report: PullReport) => void;
}

/** The pulls of one rank. */
export class Imports {
  private readonly running = new Map<number, AbortController>();

  constructor(private readonly parts: ImportsParts) {}

  /** Begins to read; nothing is written before `freed`, when what the blocks held before is forgotten. */
  pull(order: PullOrder, freed: Promise<void>): void {
    this.begin(order.pull, (signal, got) => this.read(order, { freed, signal, got }));
  }

  /** As {@link pull}, of whole blocks. */
  fetch(order: FetchOrder, freed: Promise<void>): void {
    this.begin(order.pull, (signal, got) => fetchBlocks(order, this.parts, { freed, signal, got }));
  }

  /** From now on nothing is written, and nobody hears of this pull again. */
  cancel(pull: number): void {
    this.running.get(pull)?.abort();
    this.running.delete(pull);
  }

  /** Of all pulls. */
  cancelAll(): void {
    for (const pull of [...this.running.keys()]) this.cancel(pull);
  }

  private begin(pull: number, read: (signal: AbortSignal, got: Got) => Promise<void>): void {
    const cancelled = new AbortController();
    const { signal } = cancelled;
    this.running.set(pull, cancelled);
    const startMs = performance.now();
    const got: Got = { payloadBytes: 0 };
    const end = (error?: unknown): void => {
      if (signal.aborted) return;
      this.running.delete(pull);
      const report = { pull, ...got, tookMs: performance.now() - startMs };
      this.parts.tell(error === undefined ? report : { ...report, error: remoteErrorOf(error) });
    };
    void read(signal, got).then(
      () => end(),
      (error: unknown) => end(error),
    );
  }

  private async read(
    { place, lease, wire, from, to, blocks }: PullOrder,
    { freed, signal, got }: TakingTerms & { readonly got: Got },
  ): Promise<void> {
    if (from >= to) return;
    const { network, shape, cache } = this.parts;
    const stream = await network.dial({ place, lease, wish: { from, to, wire, ...shape }, signal });
    await takeAll(stream, { freed, signal }, ({ layer, token, rows, payloadBytes }) => {
      cache.writeRows(blocks, layer, token, rows);
      got.payloadBytes += payloadBytes;
    });
  }
}
