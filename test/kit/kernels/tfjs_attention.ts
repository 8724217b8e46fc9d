/** An attention layer of lib/model on TensorFlow.js, loaded from a checkpoint as models are. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rowsOf, tensorMemory, tidy, toTensor } from '../../../compute/tfjs/tf.js';
import type { SequencePart } from '../../../lib/model/decoder/decoder.js';
import { CausalMasks, type Attention } from '../../../lib/model/tensors/attention.js';
import { TensorKvCache } from '../../../lib/model/tensors/tensor_kv_cache.js';
import { loadAttention, ropeOf } from '../../../lib/model/tensors/load_attention.js';
import type { Rope } from '../../../lib/model/tensors/rope.js';
import type { MlaForm, ModelSpec } from '../../../lib/model/spec/spec.js';
import { attentionName } from '../../../lib/model/spec/tensor_names.js';
import { DenseReader } from '../../../lib/model/weights/weight_reader.js';
import { openWeights } from '../../../lib/model/stored/model_weights.js';
import type { WeightsRef } from '../../refs/attention_ref.js';
import { HIDDEN, runSchedule, shapesOf, type Schedule, type Sequence } from './attention_cases.js';
import { writeSafetensors } from '../model/safetensors_writer.js';
import { withTempFolder } from '../temp_folder.js';

/** The layer with what a step needs around it. */
export class TfjsAttention {
  /** That the cache of the last run held at its end. */
  cachedBytes = 0;

  private constructor(
    readonly spec: ModelSpec,
    private readonly attention: Attention,
    private readonly rope: Rope,
  ) {}

  static load(spec: ModelSpec, weights: WeightsRef, form: MlaForm): Promise<TfjsAttention> {
    return withTempFolder(async (dir) => {
      const shapes = shapesOf(spec);
      const tensors = Object.entries(weights).map(([name, values]) => ({
        name: attentionName(0, name),
        dtype: 'F32',
        shape: shapes[name]!,
        bytes: new Uint8Array(values.buffer),
      }));
      await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
      const opened = await openWeights(dir, spec);
      const reader = new DenseReader(opened);
      const rope = ropeOf(spec);
      const attention = await loadAttention(reader, spec, 0, rope, form);
      await opened.close();
      return new TfjsAttention(spec, attention, rope);
    });
  }

  /** Output [L·H] of each sequence, every step run `numRuns` times. */
  async run(
    sequences: readonly Sequence[],
    schedule: Schedule,
    blockSize: number,
    numRuns = 1,
  ): Promise<Float32Array[]> {
    const cache = new TensorKvCache({
      numLayers: 1,
      lanes: this.attention.lanes,
      blockSize,
    });
    const forward = (x: Float32Array, parts: readonly SequencePart[]) => this.forward(x, parts, cache);
    const outputs = await runSchedule(sequences, schedule, forward, numRuns);
    const { numBytes } = tensorMemory();
    cache.dispose();
    this.cachedBytes = numBytes - tensorMemory().numBytes;
    return outputs;
  }

  dispose(): void {
    this.attention.dispose();
    this.rope.dispose();
  }

  private async forward(x: Float32Array, parts: readonly SequencePart[], cache: TensorKvCache): Promise<Float32Array> {
    const { attention } = this.spec;
    const numTokens = x.length / HIDDEN;
    const numKeyHeads = attention.kind === 'mla' ? 1 : attention.numKvHeads;
    const positions = parts.flatMap((part) => Array.from({ length: part.numTokens }, (_, i) => part.position + i));
    const qAngles = this.rope.angles(positions, attention.numHeads);
    const kAngles = this.rope.angles(positions, numKeyHeads);
    const ones = toTensor(new Float32Array(numTokens * numKeyHeads).fill(1), [numTokens * numKeyHeads, 1]);
    const masks = new CausalMasks();
    const step = { parts, numTokens, qAngles, kAngles, ones, masks };
    const y_TH = tidy(() => this.attention.forward(toTensor(x, [numTokens, HIDDEN]), 0, step, cache));
    const y = await rowsOf(y_TH);
    for (const part of [y_TH, qAngles, kAngles, ones, masks]) part.dispose();
    return y;
  }
}
