import type { FfnWeights } from './ffn_weights.js';

/** Where a rank gets an expert's weights from: a checkpoint on disk, or another rank. */
export interface WeightSource {
  /**
   * The weights of a routed expert of a layer.
   * @param digest what the expert must be, where the head said so
   */
  expert(layer: number, logical: number, digest?: string): Promise<FfnWeights>;
  /** Rejects where what it read from may have changed since it was opened. Default: nothing can. */
  checkUnchanged?(): Promise<void>;
}
