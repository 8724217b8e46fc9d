/** An instance of ranks whose steps a test chooses, which hand sequences over to those of others. */
import { blockBytesOf } from '../../../lib/model/spec/cache_layout.js';
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import type { Address } from '../../../comm/ws/door/dial.js';
import type { KvNetwork } from '../../../comm/kv/kv_link.js';
import type { Transformer } from '../../../lib/model/transformer.js';
import { kvShapeOf, type HandoverOrder, type KvShape, type PullReport } from '../../../lib/protocol/handover.js';
import type { KeyedBlock } from '../../../lib/protocol/kv_store.js';
import { Handover } from '../../../lib/rank/handover/handover.js';
import type { RowsWatch } from '../../../lib/rank/handover/rows_watch.js';
import { heldMemory, type HeldMemory } from '../kernels/held_memory.js';
import { blocksOf, promptPart, startLocalJob, startOf, type LocalJob, type LocalJobOptions } from './local_job.js';

/** What both sides call a lease. */
export const LEASE = { id: '1'.repeat(32), token: '2'.repeat(64) };

export class Instance {
  private job!: LocalJob;
  private model!: Transformer;
  private own!: Handover;
  private readonly reports: PullReport[] = [];
  private wake: () => void = () => undefined;
  /** Blocks of rank 0 that are in no cache, by key. */
  readonly tier = new Map<string, Uint8Array>();

  private constructor(private readonly dtype: KvDtype) {}

  /** Rank 0 hands over; `network` is its. */
  static async start(modelDir: string, network: KvNetwork, options: LocalJobOptions = {}): Promise<Instance> {
    const { kv: dtype = 'f32' } = options.residence ?? {};
    const instance = new Instance(dtype);
    const rows = async (model: Transformer, rank: number): Promise<RowsWatch> => {
      const nobody: RowsWatch = { began: () => undefined, wrote: () => undefined, abandoned: () => undefined };
      if (rank > 0) return nobody;
      instance.model = model;
      const tell = (report: PullReport): void => {
        instance.reports.push(report);
        instance.wake();
      };
      const shape = kvShapeOf(model.spec, dtype);
      instance.own = await Handover.open({
        ...{ cache: model.cache, shape, network, tell },
        blockBytes: blockBytesOf(model.spec, dtype, model.cache.blockSize),
        readTier: (key) => Promise.resolve(instance.tier.get(key) ?? null),
      });
      return instance.own.watch;
    };
    instance.job = await startLocalJob(modelDir, { reduce: 'source', ...options, rows });
    return instance;
  }

  get shape(): KvShape {
    return kvShapeOf(this.model.spec, this.dtype);
  }

  get place(): Address {
    return this.own.place;
  }

  get executors(): LocalJob['executors'] {
    return this.job.executors;
  }

  get cache(): Transformer['cache'] {
    return this.model.cache;
  }

  held(): HeldMemory {
    return heldMemory(this.job.models);
  }

  obey(order: HandoverOrder, freed: Promise<void> = Promise.resolve()): void {
    this.own.obey(order, freed);
  }

  /** Sequence 0 may be read as far as this, and what steps add to it. */
  lease(numTokens: number, id = LEASE.id): void {
    const blocks = blocksOf(0).slice(0, Math.ceil(numTokens / this.cache.blockSize));
    this.obey({ kind: 'lease', lease: { ...LEASE, id, sequence: 0, blocks, numTokens } });
  }

  /** These blocks may be read, whose keys are their numbers there; null: from the tier. */
  lend(
    blocks: readonly (number | null)[],
    keys = blocks.map(String),
    { id = LEASE.id, freed }: { readonly id?: string; readonly freed?: Promise<void> } = {},
  ): void {
    const items = blocks.map((block, i) => ({ block, key: keys[i]! }));
    this.obey({ kind: 'lend', lend: { ...LEASE, id, items } }, freed);
  }

  /** Into these blocks here, from the first one of the lease on that `first` says. */
  fetch(
    source: Instance,
    blocks: readonly KeyedBlock[],
    { first = 0, pull = 0, freed, ...lease }: FetchOptions = {},
  ): void {
    const order = { pull, lease: { ...LEASE, ...lease }, place: source.place, first, blocks };
    this.obey({ kind: 'fetch', order }, freed);
  }

  /** Into sequence 0 here, with the number of its first token. */
  pull(source: Instance, from: number, to: number, more: PullOptions = {}): void {
    const { wire = this.dtype, pull = from, freed, ...lease } = more;
    const order = { pull, lease: { ...LEASE, ...lease }, place: source.place, wire, from, to, blocks: blocksOf(0) };
    this.obey({ kind: 'pull', order }, freed);
  }

  /** What came of the next pull that ends. */
  async report(): Promise<PullReport> {
    while (this.reports.length === 0) await new Promise<void>((resolve) => (this.wake = resolve));
    return this.reports.shift()!;
  }

  /** That nobody asked for. */
  get unread(): readonly PullReport[] {
    return this.reports;
  }

  /** Tokens of sequence 0 from `position` on; logits behind each, [n·V]. Sequences begin with what `begin` says is there. */
  async run(tokens: readonly number[], position = 0, begin?: readonly number[]): Promise<Float32Array> {
    const { blockSize } = this.cache;
    const blocks = blocksOf(0).slice(0, Math.ceil((begin?.length ?? 0) / blockSize));
    const starts = begin === undefined ? [] : [{ ...startOf(0), blocks, tokenIds: begin }];
    const outputs = await this.job.step([[promptPart(0, tokens, position)]], [starts]);
    return outputs[0]![0]!.logits!;
  }

  /** Sequence 0 is over. */
  end(): void {
    this.job.end(0);
  }

  async close(): Promise<void> {
    await this.own.close();
    await this.job.close();
  }
}

export interface FetchOptions extends Omit<PullOptions, 'wire'> {
  readonly first?: number;
}

export interface PullOptions {
  /** Default: as the target has rows. */
  readonly wire?: KvDtype;
  /** Default: the number of its first token. */
  readonly pull?: number;
  /** Of the lease; default {@link LEASE}. */
  readonly id?: string;
  readonly token?: string;
  /** Default: nothing has to be forgotten. */
  readonly freed?: Promise<void>;
}
