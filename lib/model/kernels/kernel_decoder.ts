/**
 * The dense part of a model in kernel memories: a handful of calls per layer, hidden states stay in a memory as long as its layers last.
 * Shape suffixes: T tokens of the step, H hidden.
 */
import type { MoeTokens } from '../../../experts/layer/moe_tokens.js';
import type { Decoder, HiddenStates, KvCache, StepTokens } from '../decoder/decoder.js';
import type { LogitRow } from '../decoder/logits.js';
import type { KernelLayer, KernelSection } from './kernel_section.js';
import type { KernelVocabulary } from './kernel_vocabulary.js';

/** What a decoder is made of; the decoder owns it. */
export interface KernelDecoderParts {
  readonly vocabulary: KernelVocabulary;
  /** One per memory, which hold one layer after the other. */
  readonly sections: readonly KernelSection[];
  /** Those where the embedding and the head lie. */
  readonly first: KernelSection;
  readonly last: KernelSection;
  /** Of all sections. */
  readonly cache: KvCache;
}

/** The dense part as kernels, whose calls return at once but for long ones that other threads do: nothing else of a step is left to wait for. */
export class KernelDecoder implements Decoder {
  private readonly layers: readonly PlacedLayer[];

  constructor(private readonly parts: KernelDecoderParts) {
    this.layers = parts.sections.flatMap((section) => section.layers.map((layer) => ({ section, ...layer })));
  }

  /** Each layer's in the same memory as its weights. */
  get cache(): KvCache {
    return this.parts.cache;
  }

  /** @throws InternalError for token ids, tables and parts that can't be; ExpertError OUT_OF_MEMORY */
  begin({ tokenIds, parts }: StepTokens): HiddenStates {
    const { vocabulary, sections, first } = this.parts;
    for (const section of sections) section.prepare(parts, tokenIds.length);
    vocabulary.embed(first.step, tokenIds);
    return new KernelHiddenStates(this.parts, this.layers);
  }

  /** Frees everything that it is made of. */
  dispose(): void {
    const { vocabulary, sections } = this.parts;
    for (const part of [vocabulary, ...sections]) part.dispose();
  }
}

interface PlacedLayer extends KernelLayer {
  readonly section: KernelSection;
}

/** They are the step's, and there is one step at a time: nothing is theirs alone. */
class KernelHiddenStates implements HiddenStates {
  /** Where they lie. */
  private at: KernelSection;

  constructor(
    private readonly parts: KernelDecoderParts,
    private readonly layers: readonly PlacedLayer[],
  ) {
    this.at = parts.first;
  }

  attend(layer: number): Promise<void> | undefined {
    const { section, mixer } = this.layers[layer]!;
    this.moveTo(section);
    return mixer.attend(section.step);
  }

  feedForward(layer: number): Promise<void> | undefined {
    const { section, mlp } = this.layers[layer]!;
    if (mlp.kind !== 'dense') throw new Error(`layer ${layer} is no dense layer`);
    return mlp.ffn.forward(section.step);
  }

  moe(layer: number): MoeTokens {
    const { section, mlp } = this.layers[layer]!;
    if (mlp.kind !== 'moe') throw new Error(`layer ${layer} is no MoE layer`);
    return mlp.moe.begin(section.step);
  }

  read(rows: readonly number[]): Float32Array {
    return this.at.step.read(rows);
  }

  async logits(rows: readonly number[]): Promise<readonly LogitRow[]> {
    const { vocabulary, last } = this.parts;
    if (last !== this.at) last.step.copyFrom(this.at.step, rows);
    return vocabulary.logits(last.step, rows);
  }

  dispose(): void {
    // The next step writes over them.
  }

  private moveTo(section: KernelSection): void {
    if (section === this.at) return;
    section.step.copyFrom(this.at.step);
    this.at = section;
  }
}
