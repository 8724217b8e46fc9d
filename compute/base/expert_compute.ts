/** What a rank's routed experts are made of and run on: one implementation per kind of compute, proved equal. */
import type { FloatRows } from '../../base/float_rows.js';
import type { ReceivedRows } from '../../base/received_rows.js';
import type { ExpertGroups } from './expert_groups.js';
import type { FfnTensors, FfnWeights } from './ffn_weights.js';
import type { WeightDtype } from './weight_matrix.js';

/** One expert in the memory of its backend. */
export interface Expert {
  /** Rows `from` … `to` − 1 of its weights as weight_rows.ts numbers them, in up to four pieces. */
  rows(from: number, to: number): Promise<Uint8Array[]>;
  /** Its weights as TensorFlow.js tensors; the caller disposes them. */
  tensors(): FfnTensors;
  /** Frees its memory. The expert must not be used afterwards. */
  dispose(): void;
}

/** Which expert of a model. */
export interface ExpertName {
  /** As the model numbers its layers. */
  readonly layer: number;
  /** Among the experts of its layer. */
  readonly expert: number;
}

/** What experts made of rows. */
export type ExpertOutput = Float32Array | FloatRows;

/** Loads experts and runs them. `E` is the kind of expert that it makes: only those may be given back to it. */
export interface ExpertCompute<E extends Expert = Expert> {
  /** `dtype`: what the weights are kept as, and their rows travel as. `name`: where they are on disk too; tiers read them from there. @throws ExpertError OUT_OF_MEMORY */
  load(weights: FfnWeights, dtype: WeightDtype, name?: ExpertName): E;
  /**
   * What `combine` takes: with `reduce: 'rank'` [N·H] weighted sums over each row's choices in ascending order, with 'source' [M·H] one row per choice; as an
   * array, or as rows where they were computed, which stay as they are until the next call with the same `turn`. `groups` has at least one expert. One call at
   * a time. `turn`: number of the micro-batch, default 0.
   */
  forward(groups: ExpertGroups<E>, recv: ReceivedRows, turn?: number): ExpertOutput | Promise<ExpertOutput>;
  /** Frees what it keeps besides experts. */
  dispose(): void;
}
