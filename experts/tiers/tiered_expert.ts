import { createHash } from 'node:crypto';
import { ExpertError } from '../../compute/base/errors.js';
import type { Expert, ExpertName } from '../../compute/base/expert_compute.js';
import type { FfnTensors, FfnWeights } from '../../compute/base/ffn_weights.js';
import type { StoredFfn } from '../../compute/base/stored_matrix.js';
import { weightRowBytes, type WeightDtype } from '../../compute/base/weight_matrix.js';
import { matrixRowsOf, type ExpertSizes } from '../../compute/base/weight_rows.js';
import type { KernelExpert } from '../../compute/wasm/experts/kernel_expert.js';
import type { ExpertSlot } from './expert_slots.js';
import type { ExpertUse } from './tier_policy.js';

/** What an expert's owner does for it. */
export interface TieredExpertOwner {
  rows(expert: TieredExpert, from: number, to: number): Promise<Uint8Array[]>;
  release(expert: TieredExpert): void;
}

/** An expert that a rank holds: resident in a place, or on disk; beside either there may be a warm copy. */
export class TieredExpert implements Expert, ExpertUse {
  readonly layer: number;
  readonly expert: number;
  numUses = 0;
  frequency = 0;
  lastUse = 0;
  /** As it was before its last use. */
  earlier: ExpertUse = this;
  /** Null: it is on disk. */
  slot: ExpertSlot<TieredExpert> | null = null;
  /** Settles when its place is ready, or free again. Null: it isn't being read. */
  reading: Promise<void> | null = null;
  /** Of a warm copy. Null: there is none. */
  warm: ExpertSlot<TieredExpert> | null = null;
  /** Settles when its warm copy is ready, or couldn't be made. Null: it isn't being made. */
  warming: Promise<void> | null = null;
  /** Of its rows as another rank sent them: what is read from disk must be the same. Null: it came from there, or was checked. */
  digest: string | null = null;

  constructor(
    private readonly owner: TieredExpertOwner,
    { layer, expert }: ExpertName,
    readonly dtype: WeightDtype,
    /** What it is read from. */
    readonly stored: StoredFfn,
  ) {
    this.layer = layer;
    this.expert = expert;
  }

  /** Whether it is resident, as its own type. */
  get isReady(): boolean {
    return this.slot?.isReady === true;
  }

  /** What kernels can compute with now: its own weights, or else a warm copy. Null: neither is there. */
  get present(): KernelExpert | null {
    if (this.isReady) return this.slot!.expert;
    return this.warm?.isReady === true ? this.warm.expert : null;
  }

  /** From its place, or from disk. @throws ExpertError EXPERT_UNREADABLE */
  rows(from: number, to: number): Promise<Uint8Array[]> {
    return this.owner.rows(this, from, to);
  }

  /** Where it is resident. @throws ExpertError MISSING_EXPERT elsewhere */
  tensors(): FfnTensors {
    if (this.isReady) return this.slot!.expert.tensors();
    throw new ExpertError('MISSING_EXPERT', `${nameOf(this)} is on disk; compute with it first`);
  }

  /** Its place is free. */
  dispose(): void {
    this.owner.release(this);
  }
}

/** As messages name it. */
export const nameOf = ({ layer, expert }: ExpertName): string => `expert ${expert} of layer ${layer}`;

/** Whether rows on disk are those that it has when it is resident. */
export function isStoredAs({ gate, up, down }: StoredFfn, dtype: WeightDtype): boolean {
  return [gate, up, down].every(
    (each) => each.dtype === dtype && each.rowBytes === weightRowBytes(dtype, each.columns),
  );
}

/** Rows `from` … `to` − 1 from disk, where they {@link isStoredAs} they are wanted. @throws what reading does */
export function readRows(stored: StoredFfn, sizes: ExpertSizes, from: number, to: number): Promise<Uint8Array[]> {
  const pieces = matrixRowsOf(sizes, from, to);
  return Promise.all(
    pieces.map(async (piece) => {
      if (piece.name === 'biases') return new Uint8Array((await stored.biases!()).slice(piece.from, piece.to).buffer);
      const matrix = stored[piece.name];
      const bytes = new Uint8Array((piece.to - piece.from) * matrix.rowBytes);
      await matrix.readRows(piece.from, bytes);
      return bytes;
    }),
  );
}

/** Of an expert's weights, in the order of its rows. */
export function digestOfRows(pieces: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
}

/** The same of weights in memory. */
export function digestOfWeights({ gate, up, down, biases }: FfnWeights): string {
  const rows = [gate.bytes, up.bytes, down.bytes];
  const last = biases === undefined ? [] : [new Uint8Array(biases.buffer, biases.byteOffset, biases.byteLength)];
  return digestOfRows([...rows, ...last]);
}
