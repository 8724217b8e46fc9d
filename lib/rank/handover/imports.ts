/**
 * Keys and values of sequences that go on here: read from ranks of other instances.
 * Why: docs/decisions/handover.md#a-pull-writes-beside-the-steps-but-behind-what-is-to-be-forgotten
 */
import type { KvNetwork } from '../../../comm/kv/kv_link.js';
import { remoteErrorOf } from '../../../comm/base/errors.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { KvShape, PullOrder, PullReport } from '../../protocol/handover.js';

/** Where rows come from and go to, and who hears what came of a pull. */
export interface ImportsParts {
  readonly cache: Pick<KvCache, 'writeRows'>;
  readonly shape: KvShape;
  readonly network: Pick<KvNetwork, 'dial'>;
  readonly tell: (report: PullReport) => void;
}

/** The pulls of one rank. */
export class Imports {
  private readonly running = new Map<number, AbortController>();

  constructor(private readonly parts: ImportsParts) {}

  /** Begins to read; nothing is written before `freed`, when what the blocks held before is forgotten. */
  pull(order: PullOrder, freed: Promise<void>): void {
    const cancelled = new AbortController();
    this.running.set(order.pull, cancelled);
    void this.run(order, freed, cancelled.signal).finally(() => {
      if (this.running.get(order.pull) === cancelled) this.running.delete(order.pull);
    });
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

  private async run(order: PullOrder, freed: Promise<void>, signal: AbortSignal): Promise<void> {
    const startMs = performance.now();
    const got = { payloadBytes: 0 };
    const end = (error?: unknown): void => {
      if (signal.aborted) return;
      const report = { pull: order.pull, ...got, tookMs: performance.now() - startMs };
      this.parts.tell(error === undefined ? report : { ...report, error: remoteErrorOf(error) });
    };
    await this.read(order, freed, { signal, got }).then(
      () => end(),
      (error: unknown) => end(error),
    );
  }

  private async read(
    { place, lease, wire, from, to, blocks }: PullOrder,
    freed: Promise<void>,
    { signal, got }: { readonly signal: AbortSignal; readonly got: { payloadBytes: number } },
  ): Promise<void> {
    if (from >= to) return;
    const { network, shape, cache } = this.parts;
    const stream = await network.dial({ place, lease, wish: { from, to, wire, ...shape }, signal });
    const stop = (): void => stream.close();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await freed;
      for (let next = await stream.next(); next !== null; next = await stream.next()) {
        if (signal.aborted) return;
        cache.writeRows(blocks, next.layer, next.token, next.rows);
        got.payloadBytes += next.payloadBytes;
      }
    } finally {
      stream.close();
    }
  }
}
