/** Routed experts that live in kernel memories. */
import type { Expert, ExpertCompute, ExpertRows, ReceivedRows } from '../expert_compute.js';
import { ffnTensors, type FfnTensors, type FfnWeights } from '../ffn.js';
import { matrixOf, type WeightDtype } from '../weight_matrix.js';
import { KernelExpert } from './kernel_expert.js';
import { KernelExperts } from './kernel_experts.js';
import type { KernelMatrix } from './kernel_matrix.js';
import type { KernelMemories } from './kernel_memories.js';
import { residentBytes } from './resident_dtype.js';

/** An expert behind the interface that experts of all backends have. */
export class ResidentExpert implements Expert {
  readonly kernel: KernelExpert;

  constructor(kernel: KernelExpert) {
    this.kernel = kernel;
  }

  rows(from: number, to: number): Promise<Uint8Array[]> {
    return Promise.resolve([this.kernel.rows(from, to)]);
  }

  /** Made on demand from the resident bytes. */
  tensors(): FfnTensors {
    const { gate, up, down } = this.kernel;
    const decoded = (matrix: KernelMatrix) => matrixOf(matrix.toFloat32(), matrix.rows, matrix.columns);
    return ffnTensors({ gate: decoded(gate), up: decoded(up), down: decoded(down) });
  }

  dispose(): void {
    this.kernel.dispose();
  }
}

export interface ResidentExpertsOptions {
  readonly hidden: number;
  readonly numTopk: number;
  /** What weights are kept as, and travel as. */
  readonly dtype: WeightDtype;
}

export class ResidentExperts implements ExpertCompute<ResidentExpert> {
  readonly dtype: WeightDtype;
  private readonly memories: KernelMemories;
  private readonly kernels: KernelExperts;

  constructor(memories: KernelMemories, { hidden, numTopk, dtype }: ResidentExpertsOptions) {
    this.memories = memories;
    this.dtype = dtype;
    this.kernels = new KernelExperts(hidden, numTopk);
  }

  load(weights: FfnWeights): ResidentExpert {
    const { rows: intermediate, columns: hidden } = weights.gate;
    const numBytes =
      2 * residentBytes(this.dtype, intermediate, hidden) + residentBytes(this.dtype, hidden, intermediate);
    return new ResidentExpert(KernelExpert.from(this.memories.withRoom(numBytes), weights, this.dtype));
  }

  forward(groups: readonly ExpertRows<ResidentExpert>[], recv: ReceivedRows): Promise<Float32Array> {
    const own = groups.map(({ expert, choices }) => ({ expert: expert.kernel, choices }));
    return Promise.resolve(this.kernels.forward(own, recv));
  }

  dispose(): void {
    this.kernels.dispose();
  }
}
