/** What lets a layer's tokens see each other, with the norm before it, as kernels: x += mixer(norm(x)). */
import type { KernelStep } from './kernel_step.js';

/** Attention, or a layer with a state. It owns its weights. */
export interface KernelMixer {
  /** Takes the step's tokens into the cache or the state, and adds what they see to the step's hidden states. @throws ExpertError OUT_OF_MEMORY, THREAD_FAILED */
  attend(step: KernelStep): Promise<void> | undefined;
  /** Frees all weights that it owns. */
  dispose(): void;
}
