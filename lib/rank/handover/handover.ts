/** What a rank does so that sequences go on in another instance, and those of others here. Why: docs/decisions/handover.md#one-way-for-all-that-moves-between-instances */
import type { Address } from '../../../comm/ws/door/dial.js';
import type { KvDoor, KvLeases, KvNetwork } from '../../../comm/kv/kv_link.js';
import type { KvCache } from '../../model/decoder/decoder.js';
import type { HandoverOrder, KvShape, PullReport } from '../../protocol/handover.js';
import { Exports } from './exports.js';
import { Imports } from './imports.js';
import { LentBlocks, type LentBlocksParts } from './lent_blocks.js';
import type { RowsWatch } from './rows_watch.js';

/** What rows and blocks come from and go to, and who hears of it. */
export interface HandoverParts extends LentBlocksParts {
  readonly cache: Pick<KvCache, 'read' | 'write' | 'readRows' | 'writeRows'>;
  readonly shape: KvShape;
  readonly network: KvNetwork;
  readonly tell: (report: PullReport) => void;
}

/** One per rank: an open door, leases, and pulls. */
export class Handover {
  private constructor(
    private readonly exports: Exports,
    private readonly lent: LentBlocks,
    private readonly imports: Imports,
    private readonly door: KvDoor,
  ) {}

  /** @throws CommError: why it can't listen */
  static async open(parts: HandoverParts): Promise<Handover> {
    const exports = new Exports(parts);
    const lent = new LentBlocks(parts);
    const leases: KvLeases = {
      tokenOf: (lease) => exports.tokenOf(lease) ?? lent.tokenOf(lease),
      onReader: (lease, reader) => exports.onReader(lease, reader),
      onBlocksReader: (lease, reader) => lent.onReader(lease, reader),
    };
    return new Handover(exports, lent, new Imports(parts), await parts.network.open(leases));
  }

  /** Where others read. */
  get place(): Address {
    return this.door.address;
  }

  /** What steps write is told to it. */
  get watch(): RowsWatch {
    return this.exports;
  }

  /** At once. `freed`: when blocks are forgotten that the head took back before this order. */
  obey(order: HandoverOrder, freed: Promise<void>): void {
    switch (order.kind) {
      case 'lease':
        return this.exports.lease(order.lease);
      case 'lend':
        return this.lent.lend(order.lend, freed);
      case 'release':
        this.lent.release(order.lease);
        return this.exports.release(order.lease);
      case 'pull':
        return this.imports.pull(order.order, freed);
      case 'fetch':
        return this.imports.fetch(order.order, freed);
      case 'cancel_pull':
        return this.imports.cancel(order.pull);
    }
  }

  /** The head that ordered all this is gone. */
  reset(): void {
    this.exports.releaseAll();
    this.lent.releaseAll();
    this.imports.cancelAll();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.reset();
    await this.door.close();
  }
}
