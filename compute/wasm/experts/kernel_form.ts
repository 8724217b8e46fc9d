/** What a network in a kernel memory does besides its projections: its activation and its biases. */
import type { ActivationSpec } from '../../base/activation_spec.js';
import { ExpertError } from '../../base/errors.js';
import { Descriptor } from '../memory/descriptor.js';
import type { KernelMemory } from '../memory/kernel_memory.js';
import { KernelVector } from '../memory/kernel_vector.js';
import { ACTIVATIONS, FFN_FORM } from '../memory/layouts.js';

/** Biases are zeros at first. */
export class KernelForm {
  private readonly biases: KernelVector | null;
  private readonly descriptor: Descriptor<typeof FFN_FORM>;

  /** `numBiases`: of all projections; 0: there are none. @throws ExpertError OUT_OF_MEMORY; then nothing is kept */
  constructor(
    private readonly memory: KernelMemory,
    activation: ActivationSpec,
    private readonly numBiases: number,
  ) {
    this.biases = numBiases === 0 ? null : new KernelVector(memory, new Float32Array(numBiases));
    const { limit, alpha } = activation.kind === 'swiglu' ? { limit: 0, alpha: 0 } : activation;
    try {
      this.descriptor = new Descriptor(memory, FFN_FORM, {
        biases: this.biases?.address ?? 0,
        activation: ACTIVATIONS.indexOf(activation.kind),
        ...{ limit, alpha },
      });
    } catch (error) {
      this.biases?.dispose();
      throw error;
    }
  }

  /** What kernels take. */
  get address(): number {
    return this.descriptor.address;
  }

  /** @throws ExpertError INVALID_ARGUMENT for another number of them */
  setBiases(values: Float32Array): void {
    if (values.length !== this.numBiases) {
      const message = `${values.length} biases for a network of ${this.numBiases}; check the checkpoint's shapes`;
      throw new ExpertError('INVALID_ARGUMENT', message);
    }
    if (this.biases !== null) this.memory.floats(this.biases.address, values.length).set(values);
  }

  /** Biases `from` … `to` − 1, a copy. */
  biasesFrom(from: number, to: number): Float32Array {
    return this.memory.copyOut(this.biases!.address + 4 * from, to - from);
  }

  /** Gives all back. To be called once. */
  dispose(): void {
    this.descriptor.dispose();
    this.biases?.dispose();
  }
}

/** Bytes of it in whole cache lines. */
export const formBytes = (numBiases: number): number => 64 + 64 * Math.ceil((4 * numBiases) / 64);
