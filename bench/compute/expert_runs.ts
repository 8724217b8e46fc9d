/** Routed experts of one layer on rows that go to random ones of them. */
import { floatRows } from '../../base/float_rows.js';
import { RowsInPlace } from '../../base/received_rows.js';
import { GroupTables } from '../../compute/base/expert_groups.js';
import type { Expert, ExpertCompute } from '../../compute/base/expert_compute.js';
import type { WeightDtype } from '../../compute/base/weight_matrix.js';
import { permutation, randomFrom } from '../../experts/routing/random.js';
import type { ComputeShape } from './options.js';
import { randomFfn, randomRows } from './random_weights.js';

/** Runs of one number of tokens. */
export interface ExpertRun {
  readonly run: () => Promise<void>;
  /** Experts that get rows. */
  readonly numActive: number;
  /** Rows of all of them. */
  readonly numRows: number;
}

/** As many experts as a layer has, all of the same random weights, each with its own copy in memory; `dispose` frees them. */
export class ExpertLayer<E extends Expert> {
  readonly experts: readonly E[];

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(
    private readonly shape: ComputeShape,
    private readonly compute: ExpertCompute<E>,
    dtype: WeightDtype,
    private readonly seed: number,
  ) {
    const { hidden, intermediate, numExperts } = shape;
    const weights = randomFfn(seed, hidden, intermediate); // the values don't matter, where they lie does
    this.experts = Array.from({ length: numExperts }, () => compute.load(weights, dtype));
  }

  /** A batch that goes to other experts each time, as long as there are some, so that their weights come from memory. */
  tokens(numTokens: number): ExpertRun {
    const { hidden, numTopk, numExperts } = this.shape;
    const chosen = this.choose(numTokens);
    const numActive = new Set(chosen.flat()).size;
    const topkIdx = Int32Array.from(chosen.flat());
    const weights = new Float32Array(topkIdx.length).fill(1 / numTopk);
    const x = floatRows(randomRows(this.seed + numTokens, numTokens * hidden), hidden);
    const recv = new RowsInPlace(x, topkIdx, weights, 'rank');
    const turns = Array.from({ length: Math.max(1, Math.floor(numExperts / numActive)) }, (_, turn) =>
      new GroupTables<E>().fill(topkIdx, (slot) => this.experts[(slot + turn * numActive) % numExperts]!),
    );
    let turn = 0;
    const run = async (): Promise<void> => {
      await this.compute.forward(turns[turn++ % turns.length]!, recv);
    };
    return { run, numActive, numRows: numTokens * numTopk };
  }

  /** [tokens][K] different random experts. */
  private choose(numTokens: number): number[][] {
    const { numExperts, numTopk } = this.shape;
    const random = randomFrom(this.seed);
    return Array.from({ length: numTokens }, () => [...permutation(numExperts, random).subarray(0, numTopk)]);
  }

  /** Frees the experts and what computes them. */
  dispose(): void {
    for (const expert of this.experts) expert.dispose();
    this.compute.dispose();
  }
}
