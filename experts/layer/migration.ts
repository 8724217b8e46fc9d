/**
 * A rank's part in moving to another placement: while steps go on, it sends rows of experts to ranks that will hold them and gathers those that it will
 * hold itself, beside what its slots hold. Nothing that runs sees them before {@link Migration.commit}.
 * Why: docs/decisions/rebalancing.md#moving-is-part-of-the-step
 */
import { CommError } from '../../comm/base/errors.js';
import type { StepTag } from '../../comm/mesh/frame.js';
import { asRank, type Rank } from '../../base/ids.js';
import type { Mesh } from '../../comm/mesh/mesh.js';
import { ExpertError } from '../../compute/base/errors.js';
import type { Expert, ExpertName } from '../../compute/base/expert_compute.js';
import { scheduleOf, type Chunk, type ExpertCopy, type ExpertShapeOf } from './migration_plan.js';
import { slotsOf, withLayers, type Placement } from '../placement/placement.js';
import type { ExpertShard } from './shard.js';
import type { WeightSource } from '../../compute/base/weight_source.js';
import { bytesBefore, numRowsOf, rowBytes, weightsOf, type ExpertShape } from '../../compute/base/weight_rows.js';

/** What leads to a placement's next version; the same for every rank. */
export interface MigrationOrder {
  /** Of the placement that it leads to. */
  readonly version: number;
  /** The layers that change, by their number among the MoE layers, and what their slots hold then. */
  readonly layers: readonly { readonly moeLayer: number; readonly phy2log: Int32Array }[];
  readonly copies: readonly ExpertCopy[];
  /** Bytes that a rank sends, and bytes that it receives, in one step at most. */
  readonly bytesPerStep: number;
}

/** How far a rank is after a step. */
export interface MigrationProgress {
  readonly version: number;
  /** This rank holds every tensor of the next version. */
  readonly isComplete: boolean;
  /** Bytes of weights that came in this step. */
  readonly receivedBytes: number;
  /** Why this rank can't go on with it. */
  readonly error?: unknown;
}

/** How far a rank is with experts that it reads from disk. */
export interface ReadProgress {
  /** Experts that are still to be read. */
  readonly numLeft: number;
  /** Why this rank can't go on with it. */
  readonly error?: unknown;
  /** Where memory is what it lacks: experts that it has room for. */
  readonly room?: number;
}

/**
 * How many of `numOwn` experts that a rank is to read it has room for, `numAll` being read by all ranks, of which some may share its machine's memory.
 */
export type ExpertRoom = (numOwn: number, numAll: number) => number;

/** What a migration works with. */
export interface MigrationParts {
  readonly shard: Pick<ExpertShard, 'rows' | 'load' | 'replace'>;
  readonly mesh: Pick<Mesh, 'rank' | 'send' | 'receive'>;
  /** Of each expert, as it travels. */
  readonly shapeOf: ExpertShapeOf;
  /** The transformer layer of each MoE layer. */
  readonly layers: readonly number[];
  /** How long a frame is waited for. */
  readonly timeoutMs: number;
  /** For experts that no rank holds any more. */
  readonly disk: WeightSource;
  /** For these. Default: for any number. */
  readonly room?: ExpertRoom | undefined;
}

const isReadBy = ({ from, to }: ExpertCopy, rank: number): boolean => from === null && to === rank;

type MigrationTag = Omit<StepTag, 'layer' | 'microBatch'>;

/** What is gathered for one order. */
interface Stage {
  readonly order: MigrationOrder;
  readonly current: Placement;
  readonly schedule: readonly (readonly Chunk[])[];
  /** Rows so far, by copy. */
  readonly partial: Map<number, Uint8Array>;
  /** Whole ones, by copy. */
  readonly experts: Map<number, Expert>;
  error: unknown;
  /** Of {@link error}, where it is for want of memory. */
  room?: number;
  /** What this rank reads from disk: copies that are not read yet. */
  readonly unread: Set<number>;
  /** All of them are, and nothing was written since the files were opened. */
  isRead: boolean;
  /** Settles when all is read, or nothing more will be. */
  reading: Promise<void>;
  /** Told of each expert that was read. */
  onRead: () => void;
}

/** One per rank and job. It gathers for one order at a time. */
export class Migration {
  private stage: Stage | null = null;

  constructor(private readonly parts: MigrationParts) {}

  /** Begins to gather; what was gathered for another order is dropped. @throws ExpertError INVALID_ARGUMENT */
  prepare(order: MigrationOrder, current: Placement): void {
    this.drop();
    const schedule = scheduleOf(order.copies, this.parts.shapeOf, order.bytesPerStep);
    const own = [...order.copies.keys()].filter((copy) => isReadBy(order.copies[copy]!, this.rank));
    const stage: Stage = {
      ...{ order, current, schedule, partial: new Map(), experts: new Map(), error: undefined },
      ...{ unread: new Set(own), isRead: own.length === 0, reading: Promise.resolve(), onRead: () => undefined },
    };
    this.stage = stage;
    stage.reading = this.readFromDisk(stage);
  }

  /**
   * Waits until this rank has read all that it is to read from disk, or can't. Never rejects. Null: nothing is gathered for this version, any more.
   * @param onRead told of each expert that was read, with how many are left
   */
  async gather(version: number, onRead: (numLeft: number) => void): Promise<ReadProgress | null> {
    const { stage } = this;
    if (stage?.order.version !== version) return null;
    stage.onRead = () => onRead(stage.unread.size);
    await stage.reading;
    if (stage !== this.stage) return null;
    const { error, room, unread } = stage;
    return { numLeft: unread.size, ...(error !== undefined && { error }), ...(room !== undefined && { room }) };
  }

  /**
   * The round's rows, sent and received. Never rejects: what went wrong is in the progress, and changes nothing of what runs. Null: nothing is being
   * gathered.
   */
  async run(round: number, tag: MigrationTag, signal?: AbortSignal): Promise<MigrationProgress | null> {
    const { stage } = this;
    if (stage === null) return null;
    const chunks = stage.schedule[round] ?? [];
    const { copies, version } = stage.order;
    const receiving = chunks.filter(({ copy }) => copies[copy]!.to === this.rank);
    const received = receiving.map((chunk) => this.receive(stage, chunk, tag, signal)); // first, so that frames find who waits
    const sent = chunks.filter(({ copy }) => copies[copy]!.from === this.rank);
    const outcomes = await Promise.allSettled([...received, ...sent.map((chunk) => this.send(stage, chunk, tag))]);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    stage.error ??= failed?.reason as unknown;
    const bytes = receiving.map(({ copy, fromRow, toRow }) => rowBytes(this.shapeOf(stage, copy), fromRow, toRow));
    return {
      version,
      isComplete: stage.error === undefined && this.isComplete(stage),
      receivedBytes: failed === undefined ? bytes.reduce((a, b) => a + b, 0) : 0,
      ...(stage.error !== undefined && { error: stage.error }),
    };
  }

  /** Puts the gathered experts into their slots, frees what this rank doesn't hold any more, and returns the placement after `base`. */
  commit(version: number, base: Placement): Placement {
    const { stage } = this;
    if (stage?.order.version !== version || !this.isComplete(stage)) {
      const held = stage === null ? 'nothing' : `version ${stage.order.version}, not all of it`;
      throw new ExpertError(
        'MISSING_EXPERT',
        `rank ${this.rank} holds ${held} instead of version ${version}; please report this`,
      );
    }
    const { order, current } = stage;
    for (const { moeLayer, phy2log: table } of order.layers) {
      const from = this.rank * base.slotsPerRank;
      const before = slotsOf(current, moeLayer, this.rank);
      const slots = new Map<number, Expert | number>();
      for (const [slot, logical] of table.subarray(from, from + base.slotsPerRank).entries()) {
        if (logical < 0) continue;
        const old = before[slot] === logical ? slot : before.indexOf(logical);
        slots.set(slot, old >= 0 ? old : stage.experts.get(this.copyOf(order, moeLayer, logical))!);
      }
      this.parts.shard.replace(this.parts.layers[moeLayer]!, slots);
    }
    this.stage = null;
    return withLayers(base, version, order.layers);
  }

  /** Frees what was gathered. Idempotent. */
  drop(): void {
    for (const expert of this.stage?.experts.values() ?? []) expert.dispose();
    this.stage = null;
  }

  private get rank(): Rank {
    return this.parts.mesh.rank;
  }

  private isComplete({ order, experts, isRead }: Stage): boolean {
    return isRead && order.copies.every(({ to }, copy) => to !== this.rank || experts.has(copy));
  }

  private copyOf({ copies }: MigrationOrder, moeLayer: number, logical: number): number {
    return copies.findIndex((copy) => copy.to === this.rank && copy.moeLayer === moeLayer && copy.logical === logical);
  }

  private shapeOf({ order }: Stage, copy: number): ExpertShape {
    const { moeLayer, logical } = order.copies[copy]!;
    return this.parts.shapeOf(moeLayer, logical);
  }

  private nameOf({ order }: Stage, copy: number): ExpertName {
    const { moeLayer, logical } = order.copies[copy]!;
    return { layer: this.parts.layers[moeLayer]!, expert: logical };
  }

  /** A rank that can't send tells so with an empty frame, so that nobody waits for the rest. */
  private async send(stage: Stage, chunk: Chunk, tag: MigrationTag): Promise<void> {
    const { moeLayer, logical, to } = stage.order.copies[chunk.copy]!;
    try {
      const slot = slotsOf(stage.current, moeLayer, this.rank).indexOf(logical);
      const rows = await this.parts.shard.rows(this.parts.layers[moeLayer]!, slot, chunk.fromRow, chunk.toRow);
      if (stage === this.stage) this.transmit(asRank(to), stage, chunk, tag, rows);
    } catch (error) {
      try {
        this.transmit(asRank(to), stage, chunk, tag, []);
      } catch {
        // The reason why the rows can't be sent says it.
      }
      throw error;
    }
  }

  private transmit(to: Rank, stage: Stage, chunk: Chunk, tag: MigrationTag, payload: readonly Uint8Array[]): void {
    const payloadBytes = payload.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const numRows = payloadBytes === 0 ? 0 : chunk.toRow - chunk.fromRow;
    const route = { ...this.keyOf(stage, chunk, tag), source: this.rank, destination: to };
    this.parts.mesh.send(
      to,
      { ...route, numRows, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes },
      payload,
    );
  }

  private async receive(stage: Stage, chunk: Chunk, tag: MigrationTag, signal: AbortSignal | undefined): Promise<void> {
    const { timeoutMs, mesh } = this.parts;
    const { from } = stage.order.copies[chunk.copy]!;
    const shape = this.shapeOf(stage, chunk.copy);
    const key = this.keyOf(stage, chunk, tag);
    const { header, payload, release } = await mesh.receive(asRank(from!), key, { timeoutMs, signal });
    try {
      if (payload.byteLength !== rowBytes(shape, chunk.fromRow, chunk.toRow)) {
        const what = header.numRows === 0 ? 'could not send' : 'sent another number of rows than';
        const message = `rank ${from} ${what} rows ${chunk.fromRow} to ${chunk.toRow} of an expert; look at the log of rank ${from}`;
        throw new CommError('PEER_FAILED', message, { rank: asRank(from!), layer: key.layer, phase: 'weights' });
      }
      if (stage === this.stage) this.place(stage, chunk, payload);
    } finally {
      release?.();
    }
  }

  /** Rows of a copy come in ascending order: the last ones complete it. */
  private place(stage: Stage, { copy, fromRow, toRow }: Chunk, rows: Uint8Array): void {
    const { partial, experts } = stage;
    const shape = this.shapeOf(stage, copy);
    const numRows = numRowsOf(shape);
    const bytes = partial.get(copy) ?? new Uint8Array(bytesBefore(shape, numRows));
    bytes.set(rows, bytesBefore(shape, fromRow));
    if (toRow < numRows) partial.set(copy, bytes);
    else {
      partial.delete(copy);
      experts.set(copy, this.parts.shard.load(weightsOf(shape, bytes), shape.dtype, this.nameOf(stage, copy)));
    }
  }

  private async readFromDisk(stage: Stage): Promise<void> {
    try {
      this.checkRoom(stage);
      for (const copy of [...stage.unread]) {
        const { moeLayer, logical, digest } = stage.order.copies[copy]!;
        const weights = await this.parts.disk.expert(this.parts.layers[moeLayer]!, logical, digest);
        if (stage !== this.stage) return;
        const { dtype } = this.shapeOf(stage, copy);
        stage.experts.set(copy, this.parts.shard.load(weights, dtype, this.nameOf(stage, copy)));
        stage.unread.delete(copy);
        if (stage.unread.size > 0) stage.onRead();
      }
      if (!stage.isRead) await this.parts.disk.checkUnchanged?.();
      stage.isRead = true;
    } catch (error) {
      stage.error = error;
    }
  }

  /** Before anything is read: a machine without memory ends processes. */
  private checkRoom(stage: Stage): void {
    const numOwn = stage.unread.size;
    if (numOwn === 0) return;
    const numAll = stage.order.copies.filter(({ from }) => from === null).length;
    const room = this.parts.room?.(numOwn, numAll) ?? numOwn;
    if (room >= numOwn) return;
    stage.room = room;
    const message = `rank ${this.rank} has room for ${room} of ${numOwn} experts that it is to take over; give its machine more memory`;
    throw new ExpertError('OUT_OF_MEMORY', message);
  }

  /** A copy has one frame per step at most. */
  private keyOf({ order }: Stage, { copy }: Chunk, tag: MigrationTag) {
    const layer = this.parts.layers[order.copies[copy]!.moeLayer]!;
    return { phase: 'weights', ...tag, layer, microBatch: copy } as const;
  }
}
