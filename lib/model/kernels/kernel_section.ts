/** What one kernel memory holds of a model's dense part: some layers, one after the other, and what their steps need. */
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import type { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import type { SequencePart } from '../decoder/decoder.js';
import type { LayerSpec, MlaForm, ModelSpec } from '../spec/spec.js';
import type { KernelFfn } from './kernel_ffn.js';
import { KernelKvCache } from './kernel_kv_cache.js';
import type { KernelMixer } from './kernel_mixer.js';
import { KernelMoeBlocks, type KernelMoe } from './kernel_moe.js';
import { KernelStep } from './kernel_step.js';

/** A layer's two halves; `mlp` is the network of a dense layer, or gate and shared experts. */
export interface KernelLayer {
  readonly mixer: KernelMixer;
  readonly mlp: { readonly kind: 'dense'; readonly ffn: KernelFfn } | { readonly kind: 'moe'; readonly moe: KernelMoe };
}

/** What a section is made for. */
export interface SectionOptions {
  readonly spec: ModelSpec;
  readonly mla: MlaForm;
  /** Tokens per KV block. */
  readonly blockSize: number;
  /** What keys and values are kept as. */
  readonly kvDtype: KvDtype;
  /** Layers that it will hold; none where the memory holds vocabulary only. */
  readonly layers: readonly LayerSpec[];
}

/** Owns what lies in its memory, but the vocabulary. */
export class KernelSection {
  /** To be filled in their order. */
  readonly layers: KernelLayer[] = [];
  readonly step: KernelStep;
  /** What its MoE layers use in turn. */
  readonly blocks: KernelMoeBlocks;
  /** Of its layers. */
  readonly cache: KernelKvCache;

  /** @throws ExpertError OUT_OF_MEMORY */
  constructor(
    readonly memory: KernelMemory,
    { spec, mla, blockSize, kvDtype, layers }: SectionOptions,
  ) {
    this.step = new KernelStep(memory, spec, mla);
    this.blocks = new KernelMoeBlocks(memory);
    this.cache = new KernelKvCache(memory, { ...spec, layers }, blockSize, kvDtype);
  }

  /** The next step; hidden states are to be written then. @throws as {@link KernelStep.prepare} */
  prepare(parts: readonly SequencePart[], numTokens: number): void {
    this.step.prepare(this.layers.length === 0 ? [] : parts, numTokens, this.cache);
  }

  /** Frees all that it owns. */
  dispose(): void {
    for (const { mixer, mlp } of this.layers) {
      mixer.dispose();
      if (mlp.kind === 'dense') mlp.ffn.dispose();
      else mlp.moe.dispose();
    }
    for (const part of [this.cache, this.step, this.blocks]) part.dispose();
  }
}
