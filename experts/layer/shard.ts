/**
 * The experts that one rank holds, slot by slot, and running them on the rows that a dispatch brought.
 * Why: docs/decisions/rebalancing.md#a-new-version-needs-no-grace-period
 */
import { ExpertError } from '../../compute/base/errors.js';
import type { ReceivedRows } from '../../base/received_rows.js';
import type { Expert, ExpertCompute, ExpertName, ExpertOutput } from '../../compute/base/expert_compute.js';
import type { ExpertDtypes } from '../../compute/base/expert_dtypes.js';
import { GroupTables } from '../../compute/base/expert_groups.js';
import type { FfnTensors, FfnWeights } from '../../compute/base/ffn_weights.js';
import type { WeightDtype } from '../../compute/base/weight_matrix.js';

/** Experts by layer and slot of this rank; layers are numbered as in the model. */
export interface ExpertShard {
  /** What experts are kept as, and travel as, whichever of them its slots hold: the same on every rank of a job. */
  readonly dtypes: ExpertDtypes;
  /**
   * What `combine` takes: with `reduce: 'rank'` [N·H] weighted sums, with 'source' [M·H] one row per local choice. Rows that aren't an array stay as they are until
   * the next call with the same `turn` (the micro-batch, default 0). One call at a time. @throws ExpertError MISSING_EXPERT, and what computing throws
   */
  forward(layer: number, recv: ReceivedRows, turn?: number): ExpertOutput | Promise<ExpertOutput>;
  /** A slot's weights as TensorFlow.js tensors, on every backend; the caller disposes them. @throws ExpertError MISSING_EXPERT */
  weights(layer: number, slot: number): FfnTensors;
  /** Rows `from` … `to` − 1 of a slot's weights, as {@link Expert.rows}. @throws ExpertError MISSING_EXPERT */
  rows(layer: number, slot: number, from: number, to: number): Promise<Uint8Array[]>;
  /** An expert that no slot holds yet: {@link replace} takes it. @throws ExpertError OUT_OF_MEMORY */
  load(weights: FfnWeights, dtype: WeightDtype, name?: ExpertName): Expert;
  /**
   * What a layer's slots hold from now on: an expert that was loaded, which is the shard's then, or what a slot held so far. What no slot holds any more
   * is freed.
   * @throws ExpertError MISSING_EXPERT for a slot that held nothing; then nothing changed
   */
  replace(layer: number, next: ReadonlyMap<number, Expert | number>): void;
  /** How many slots hold an expert, over all layers. */
  stats(): { readonly numExperts: number };
  /** Frees all experts, and what computes them. */
  dispose(): void;
}

/** A shard without experts, which computes with `compute` and owns it. */
export function createExpertShard<E extends Expert>(compute: ExpertCompute<E>, dtypes: ExpertDtypes): ExpertShard {
  const layers = new Map<number, Map<number, E>>();
  const tables = new GroupTables<E>();
  const held = (layer: number, slot: number): E => {
    const expert = layers.get(layer)?.get(slot);
    if (expert !== undefined) return expert;
    throw new ExpertError('MISSING_EXPERT', `layer ${layer} holds no expert in slot ${slot}; check the placement`);
  };

  return {
    dtypes,
    weights: (layer, slot) => held(layer, slot).tensors(),
    async rows(layer, slot, from, to) {
      return held(layer, slot).rows(from, to);
    },
    load: (weights, dtype, name) => compute.load(weights, dtype, name),
    replace(layer, next) {
      const slots = new Map(
        [...next].map(([slot, expert]) => [slot, typeof expert === 'number' ? held(layer, expert) : (expert as E)]),
      );
      const kept = new Set(slots.values());
      for (const expert of layers.get(layer)?.values() ?? []) if (!kept.has(expert)) expert.dispose();
      layers.set(layer, slots);
    },
    forward(layer, recv, turn) {
      const groups = tables.fill(recv.recvTopkIdx, (slot) => held(layer, slot));
      if (groups.experts.length > 0) return compute.forward(groups, recv, turn);
      const isSum = recv.reduce === 'rank' && recv.numRecvTokens > 0;
      return isSum ? new Float32Array(recv.recvX.length) : NO_ROWS;
    },
    stats: () => ({ numExperts: [...layers.values()].reduce((total, slots) => total + slots.size, 0) }),
    dispose() {
      for (const slots of layers.values()) for (const expert of slots.values()) expert.dispose();
      layers.clear();
      compute.dispose();
    },
  };
}

const NO_ROWS = new Float32Array(0);
