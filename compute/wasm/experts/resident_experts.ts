/** Routed experts that live in kernel memories. */
import type { ReceivedRows } from '../../../base/received_rows.js';
import { SWIGLU, type ActivationSpec } from '../../base/activation_spec.js';
import type { ExpertCompute, ExpertOutput } from '../../base/expert_compute.js';
import type { ExpertGroups } from '../../base/expert_groups.js';
import type { FfnWeights } from '../../base/ffn_weights.js';
import type { StoredFfn } from '../../base/stored_matrix.js';
import type { WeightDtype } from '../../base/weight_matrix.js';
import { expertBytes, KernelExpert, sizesOf } from './kernel_expert.js';
import { KernelExperts } from './kernel_experts.js';
import { loadExpert } from './load_expert.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import type { WeightLoader } from '../memory/weight_loader.js';
import type { KernelMemories } from '../memory/kernel_memories.js';

/** What {@link ResidentExperts} needs to know of the rows and experts of a model. */
export interface ResidentExpertsOptions {
  readonly hidden: number;
  readonly numTopk: number;
  /** Default SwiGLU. */
  readonly activation?: ActivationSpec;
}

/** Runs experts with the kernels, in as many memories as they need. */
export class ResidentExperts implements ExpertCompute<KernelExpert> {
  private readonly activation: ActivationSpec;
  private readonly kernels: KernelExperts;

  constructor(
    private readonly memories: KernelMemories,
    { hidden, numTopk, activation = SWIGLU }: ResidentExpertsOptions,
  ) {
    this.activation = activation;
    this.kernels = new KernelExperts(hidden, numTopk);
  }

  /** In the first memory that has room, or in a new one. */
  load(weights: FfnWeights, dtype: WeightDtype): KernelExpert {
    return KernelExpert.from(this.memoryFor(weights, dtype), weights, dtype, this.activation);
  }

  /** The same for one that is read; its memory is taken at once. @throws ExpertError and others as {@link loadExpert}; then nothing is kept */
  async read(loader: WeightLoader, stored: StoredFfn, dtype: WeightDtype): Promise<KernelExpert> {
    return loadExpert(loader, this.memoryFor(stored, dtype), stored, dtype, this.activation);
  }

  /** At once, but for what other threads compute. */
  forward(groups: ExpertGroups<KernelExpert>, recv: ReceivedRows, turn?: number): ExpertOutput | Promise<ExpertOutput> {
    return this.kernels.forward(groups, recv, turn);
  }

  private memoryFor(weights: FfnWeights | StoredFfn, dtype: WeightDtype): KernelMemory {
    return this.memories.withRoom(expertBytes(sizesOf(weights), dtype, this.activation));
  }

  /** Gives the workspaces back; experts are disposed by their callers. */
  dispose(): void {
    this.kernels.dispose();
  }
}
