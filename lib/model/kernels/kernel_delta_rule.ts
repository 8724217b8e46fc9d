/** A layer with a gated delta rule and the norm before it, as kernels: x += mixer(norm(x)). */
import type { NormWeights } from '../../../compute/base/norm_weights.js';
import { Descriptor } from '../../../compute/wasm/memory/descriptor.js';
import type { KernelMatrix } from '../../../compute/wasm/memory/kernel_matrix.js';
import { KernelNorm } from '../../../compute/wasm/memory/kernel_norm.js';
import { KernelVector } from '../../../compute/wasm/memory/kernel_vector.js';
import { DELTA_RULE_LAYER } from '../../../compute/wasm/memory/layouts.js';
import type { RowRange } from '../../../compute/wasm/memory/weight_loader.js';
import type { DeltaRuleMixer, ModelSpec } from '../spec/spec.js';
import { KernelConvolution, type ConvolutionWeights } from './kernel_convolution.js';
import type { KernelMixer } from './kernel_mixer.js';
import type { KernelStep } from './kernel_step.js';

/** Vectors as checkpoints store them; rows of the matrices as {@link projectionRows} and {@link rateRows} say. */
export interface DeltaRuleWeights {
  /** [queries | keys | values | z, H] */
  readonly input: KernelMatrix;
  /** [rates | times, H] */
  readonly rates: KernelMatrix;
  /** [H, values] */
  readonly output: KernelMatrix;
  readonly convolution: ConvolutionWeights;
  /** [value heads] */
  readonly logDecay: Float32Array;
  readonly timeBias: Float32Array;
  /** Behind the rule, of valueHeadDim channels. */
  readonly outNorm: NormWeights;
  /** Before the layer, of H channels. */
  readonly inputNorm: NormWeights;
}

/** Owns its weights. */
export class KernelDeltaRule implements KernelMixer {
  private readonly parts: readonly { dispose(): void }[];
  private readonly descriptor: Descriptor<typeof DELTA_RULE_LAYER>;
  /** Of a token. */
  private readonly numMultiplyAdds: number;

  /** `stateOffset`: bytes from a state to this layer's part. @throws ExpertError OUT_OF_MEMORY */
  constructor(
    { hiddenSize }: Pick<ModelSpec, 'hiddenSize'>,
    mixer: DeltaRuleMixer,
    stateOffset: number,
    weights: DeltaRuleWeights,
  ) {
    const { input, rates, output, convolution } = weights;
    const { numKeyHeads, numValueHeads, keyHeadDim, valueHeadDim, width } = mixer;
    const { memory } = input;
    const norm = new KernelNorm(memory, weights.inputNorm);
    const outNorm = new KernelNorm(memory, weights.outNorm);
    const logDecay = new KernelVector(memory, weights.logDecay);
    const timeBias = new KernelVector(memory, weights.timeBias);
    const filter = new KernelConvolution(memory, convolution, width);
    const matrices = [input, rates, output];
    this.numMultiplyAdds =
      matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0) +
      3 * numValueHeads * keyHeadDim * valueHeadDim;
    this.descriptor = new Descriptor(memory, DELTA_RULE_LAYER, {
      ...{ hiddenSize, numKeyHeads, numValueHeads, keyHeadDim, valueHeadDim, stateOffset },
      ...{ input: input.address, rates: rates.address, output: output.address },
      ...{ norm: norm.address, outNorm: outNorm.address, convolution: filter.address },
      ...{ logDecay: logDecay.address, timeBias: timeBias.address },
    });
    this.parts = [this.descriptor, ...matrices, norm, outNorm, logDecay, timeBias, filter];
  }

  /** @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED */
  attend(step: KernelStep): Promise<void> | undefined {
    const work = step.numTokens * this.numMultiplyAdds;
    return step.run((at) => step.memory.call('deltaRuleLayer', work, this.descriptor.address, at));
  }

  /** Frees the weights. */
  dispose(): void {
    for (const part of this.parts) part.dispose();
  }
}

/** A stored matrix, by the name of its part, and where its rows go in one of the kernel's. */
export interface StoredRows {
  readonly part: string;
  readonly rows: number;
  readonly ranges: readonly RowRange[];
}

/** Rows [queries | keys | values | z] of one matrix from those of the checkpoint. Pure. */
export function projectionRows(mixer: DeltaRuleMixer): StoredRows[] {
  const { numKeyHeads, numValueHeads, keyHeadDim, valueHeadDim } = mixer;
  const [keys, values] = [numKeyHeads * keyHeadDim, numValueHeads * valueHeadDim];
  if (mixer.projections === 'apart') {
    return stacked([
      ['in_proj_qkv.weight', 2 * keys + values],
      ['in_proj_z.weight', values],
    ]);
  }
  const own = values / numKeyHeads;
  return [byHead('in_proj_qkvz.weight', numKeyHeads, [keyHeadDim, keyHeadDim, own, own])];
}

/** Rows [rates | times] of one matrix from those of the checkpoint. Pure. */
export function rateRows({ numKeyHeads, numValueHeads, projections }: DeltaRuleMixer): StoredRows[] {
  if (projections === 'apart') {
    return stacked([
      ['in_proj_b.weight', numValueHeads],
      ['in_proj_a.weight', numValueHeads],
    ]);
  }
  const own = numValueHeads / numKeyHeads;
  return [byHead('in_proj_ba.weight', numKeyHeads, [own, own])];
}

/** One matrix after the other. */
function stacked(parts: readonly (readonly [part: string, rows: number])[]): StoredRows[] {
  let to = 0;
  return parts.map(([part, rows]) => {
    const ranges = [{ from: 0, to, numRows: rows }];
    to += rows;
    return { part, rows, ranges };
  });
}

/** Each key head has its rows for one purpose after the other: → purpose by purpose, heads in their order. */
function byHead(part: string, numHeads: number, sizes: readonly number[]): StoredRows {
  const each = sizes.reduce((a, b) => a + b, 0);
  let [before, start] = [0, 0];
  const ranges = sizes.flatMap((numRows) => {
    const [within, first] = [before, start];
    before += numRows;
    start += numHeads * numRows;
    return Array.from({ length: numHeads }, (_, head) => {
      return { from: head * each + within, to: first + head * numRows, numRows };
    });
  });
  return { part, rows: numHeads * each, ranges };
}
