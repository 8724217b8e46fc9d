/** One attention layer, loaded from a checkpoint as models are, against a float64 reference and against itself under other schedules. */
import { expect } from 'chai';
import fc from 'fast-check';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rowsOf, selectBackend, tensorMemory, tidy, toTensor } from '../../../../experts/tf.js';
import type { SequencePart } from '../../../../lib/model/decoder.js';
import { CausalMasks, type Attention } from '../../../../lib/model/tensors/attention.js';
import { TensorKvCache } from '../../../../lib/model/tensors/tensor_kv_cache.js';
import { loadAttention } from '../../../../lib/model/tensors/load_attention.js';
import { modelSpecOf } from '../../../../lib/model/registry.js';
import { Rope } from '../../../../lib/model/tensors/rope.js';
import type { MlaForm, ModelSpec } from '../../../../lib/model/spec.js';
import { DenseReader } from '../../../../lib/model/weight_reader.js';
import { openCheckpoint } from '../../../../lib/weights/checkpoint.js';
import { Fingerprint } from '../../../../lib/weights/fingerprint.js';
import { writeSafetensors } from '../../../kit/safetensors_writer.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { gqaRef, mlaRef, type WeightsRef } from '../../../refs/attention_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

const HIDDEN = 40;
const EPS = 1e-6;
const COMMON = {
  hidden_size: HIDDEN,
  vocab_size: 8,
  num_hidden_layers: 1,
  max_position_embeddings: 256,
  rms_norm_eps: EPS,
  hidden_act: 'silu',
  intermediate_size: 8,
  moe_intermediate_size: 8,
  num_experts_per_tok: 1,
};
const YARN = { type: 'yarn', factor: 4, original_max_position_embeddings: 16, mscale: 1, mscale_all_dim: 1 };

const mlaSpec = (config: object): ModelSpec =>
  modelSpecOf({
    ...COMMON,
    model_type: 'deepseek_v3',
    num_attention_heads: 3,
    first_k_dense_replace: 0,
    n_routed_experts: 4,
    n_group: 1,
    topk_group: 1,
    routed_scaling_factor: 1,
    q_lora_rank: 20,
    kv_lora_rank: 16,
    qk_nope_head_dim: 10,
    qk_rope_head_dim: 6,
    v_head_dim: 7,
    rope_scaling: YARN,
    ...config,
  });

const gqaSpec = (config: object): ModelSpec =>
  modelSpecOf({
    ...COMMON,
    model_type: 'qwen3_moe',
    num_attention_heads: 6,
    num_key_value_heads: 2,
    head_dim: 10,
    num_experts: 4,
    rope_theta: 1e4,
    ...config,
  });

interface Case {
  readonly name: string;
  readonly spec: ModelSpec;
  readonly form: MlaForm;
}

const FORMS: readonly MlaForm[] = ['naive', 'absorbed', 'auto'];
const CASES: readonly Case[] = [
  ...FORMS.map((form): Case => ({ name: `MLA, ${form}`, spec: mlaSpec({}), form })),
  ...FORMS.map((form): Case => ({
    name: `MLA without query compression, ${form}`,
    spec: mlaSpec({ q_lora_rank: null }),
    form,
  })),
  { name: 'MLA of one head, auto', spec: mlaSpec({ num_attention_heads: 1, rope_scaling: null }), form: 'auto' },
  { name: 'GQA', spec: gqaSpec({}), form: 'auto' },
  { name: 'GQA with one KV head', spec: gqaSpec({ num_key_value_heads: 1 }), form: 'auto' },
  { name: 'GQA with as many KV heads as heads', spec: gqaSpec({ num_key_value_heads: 6 }), form: 'auto' },
];

/** Shapes [out, in] of the layer's tensors; norms have one number. */
function shapesOf({ attention: spec }: ModelSpec): Record<string, readonly number[]> {
  if (spec.kind === 'gqa') {
    const { numHeads, numKvHeads, headDim } = spec;
    return {
      q_proj: [numHeads * headDim, HIDDEN],
      k_proj: [numKvHeads * headDim, HIDDEN],
      v_proj: [numKvHeads * headDim, HIDDEN],
      o_proj: [HIDDEN, numHeads * headDim],
      q_norm: [headDim],
      k_norm: [headDim],
    };
  }
  const { numHeads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim } = spec;
  const qWidth = numHeads * (qkNopeHeadDim + qkRopeHeadDim);
  return {
    ...(qLoraRank === null
      ? { q_proj: [qWidth, HIDDEN] }
      : { q_a_proj: [qLoraRank, HIDDEN], q_a_layernorm: [qLoraRank], q_b_proj: [qWidth, qLoraRank] }),
    kv_a_proj_with_mqa: [kvLoraRank + qkRopeHeadDim, HIDDEN],
    kv_a_layernorm: [kvLoraRank],
    kv_b_proj: [numHeads * (qkNopeHeadDim + vHeadDim), kvLoraRank],
    o_proj: [HIDDEN, numHeads * vHeadDim],
  };
}

function randomWeights(spec: ModelSpec): WeightsRef {
  const random = randomFrom(11);
  return Object.fromEntries(
    Object.entries(shapesOf(spec)).map(([name, shape]) => {
      const values = randomValues(
        random,
        shape.reduce((a, b) => a * b, 1),
        shape.length === 1 ? 0.5 : 0.4,
      );
      return [name, shape.length === 1 ? values.map((value) => 1 + value) : values];
    }),
  );
}

/** A sequence: its hidden states [L·H], of which the first come as a prompt. */
interface Sequence {
  readonly x: Float32Array;
  readonly length: number;
  readonly promptLength: number;
}

const sequencesFrom = (seed: number, lengths: readonly number[]): Sequence[] => {
  const random = randomFrom(seed);
  return lengths.map((length) => ({
    x: randomValues(random, length * HIDDEN),
    length,
    promptLength: Math.ceil(length * random()) || 1,
  }));
};

/** Which tokens a step takes: sequence and how many. */
type Schedule = readonly (readonly (readonly [sequence: number, numTokens: number])[])[];

/** One sequence after the other, the prompt whole and generated tokens one by one. */
const inTurn = (sequences: readonly Sequence[]): Schedule =>
  sequences.flatMap(({ length, promptLength }, i) => [
    [[i, promptLength] as const],
    ...Array.from({ length: length - promptLength }, () => [[i, 1] as const]),
  ]);

/** Random mixes of prompt chunks and generated tokens of several sequences. */
function mixed(sequences: readonly Sequence[], seed: number): Schedule {
  const random = randomFrom(seed);
  const done = sequences.map(() => 0);
  const steps: [number, number][][] = [];
  while (done.some((numTokens, i) => numTokens < sequences[i]!.length)) {
    const step: [number, number][] = [];
    for (const [i, { length, promptLength }] of sequences.entries()) {
      if (done[i] === length || random() < 0.4) continue;
      const most = done[i]! < promptLength ? promptLength - done[i]! : 1;
      const numTokens = 1 + Math.floor(random() * most);
      step.push([i, numTokens]);
      done[i]! += numTokens;
    }
    if (step.length > 0) steps.push(step);
  }
  return steps;
}

/** The layer under test with what a step needs around it. */
class Layer {
  readonly spec: ModelSpec;
  private readonly attention: Attention;
  private readonly rope: Rope;

  private constructor(spec: ModelSpec, attention: Attention, rope: Rope) {
    this.spec = spec;
    this.attention = attention;
    this.rope = rope;
  }

  static load(spec: ModelSpec, weights: WeightsRef, form: MlaForm): Promise<Layer> {
    return withTempFolder(async (dir) => {
      const shapes = shapesOf(spec);
      const tensors = Object.entries(weights).map(([name, values]) => ({
        name: `model.layers.0.self_attn.${name}.weight`,
        dtype: 'F32',
        shape: shapes[name]!,
        bytes: new Uint8Array(values.buffer),
      }));
      await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
      const checkpoint = await openCheckpoint(dir);
      const reader = new DenseReader(checkpoint, {
        fingerprint: new Fingerprint(new Uint8Array(), checkpoint.headers),
      });
      const rope = new Rope(spec.rope);
      const attention = await loadAttention(reader, spec, 0, rope, form);
      await checkpoint.close();
      return new Layer(spec, attention, rope);
    });
  }

  /** Output [L·H] of each sequence, every step run `numRuns` times. */
  async run(
    sequences: readonly Sequence[],
    schedule: Schedule,
    blockSize: number,
    numRuns = 1,
  ): Promise<Float32Array[]> {
    const { attention } = this.spec;
    const cache = new TensorKvCache({
      numLayers: 1,
      numLanes: attention.kind === 'mla' ? 1 : 2 * attention.numKvHeads,
      blockSize,
    });
    const outputs = sequences.map(({ x }) => new Float32Array(x.length));
    const done = sequences.map(() => 0);
    for (const step of schedule) {
      const isPrompt = ([i]: readonly [number, number]): boolean => done[i]! < sequences[i]!.promptLength;
      const ordered = [...step].sort((a, b) => Number(isPrompt(a)) - Number(isPrompt(b)));
      let rowStart = 0;
      const parts = ordered.map(([i, numTokens]): SequencePart => {
        // Blocks of the sequences interleave, so that neighbours in a sequence are no neighbours in the pool.
        const blocks = Array.from({ length: 64 }, (_, block) => block * sequences.length + i);
        const part = { rowStart, numTokens, position: done[i]!, blocks, isPrompt: isPrompt([i, numTokens]) };
        rowStart += numTokens;
        return part;
      });
      const rowsOfPart = (x: Float32Array, { position, numTokens }: SequencePart): Float32Array =>
        x.subarray(position * HIDDEN, (position + numTokens) * HIDDEN);
      const x = Float32Array.from(ordered.flatMap(([i], p) => [...rowsOfPart(sequences[i]!.x, parts[p]!)]));
      let y = await this.forward(x, parts, cache);
      for (let again = 1; again < numRuns; again++) y = await this.forward(x, parts, cache);
      ordered.forEach(([i, numTokens], p) => {
        const { rowStart: row, position } = parts[p]!;
        outputs[i]!.set(y.subarray(row * HIDDEN, (row + numTokens) * HIDDEN), position * HIDDEN);
        done[i]! += numTokens;
      });
    }
    cache.dispose();
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

function reference({ x }: Sequence, weights: WeightsRef, { attention, rope }: ModelSpec): number[] {
  const rows = Array.from({ length: x.length / HIDDEN }, (_, t) => [...x.subarray(t * HIDDEN, (t + 1) * HIDDEN)]);
  const y =
    attention.kind === 'mla'
      ? mlaRef(rows, weights, attention, rope, EPS)
      : gqaRef(rows, weights, attention, rope, EPS);
  return y.flat();
}

describe('attention', () => {
  before(() => selectBackend('wasm'));

  for (const { name, spec, form } of CASES) {
    describe(name, () => {
      const weights = randomWeights(spec);
      let layer: Layer;
      let numTensorsBefore = 0;

      before(async () => {
        numTensorsBefore = tensorMemory().numTensors;
        layer = await Layer.load(spec, weights, form);
      });
      after(() => {
        layer.dispose();
        expect(tensorMemory().numTensors, 'tensors left behind').to.equal(numTensorsBefore);
      });

      it('agrees with the float64 reference', async () => {
        const sequences = sequencesFrom(1, [1, 2, 19, 33]);
        const expected = sequences.map((sequence) => reference(sequence, weights, spec));
        for (const blockSize of [1, 3, 16]) {
          for (const schedule of [inTurn(sequences), mixed(sequences, blockSize)]) {
            const outputs = await layer.run(sequences, schedule, blockSize);
            outputs.forEach((output, i) => expect(largestDifference(output, expected[i]!)).to.be.below(1e-5));
          }
        }
      });

      it('has the same bits for any chunks, batch mixes and block sizes', async () => {
        const sizes = fc.array(fc.integer({ min: 1, max: 24 }), { minLength: 1, maxLength: 4 });
        await fc.assert(
          fc.asyncProperty(fc.nat(), sizes, fc.constantFrom(1, 3, 16), async (seed, lengths, blockSize) => {
            const sequences = sequencesFrom(seed, lengths);
            const alone = await layer.run(sequences, inTurn(sequences), 16);
            const together = await layer.run(sequences, mixed(sequences, seed + 1), blockSize);
            together.forEach((output, i) => expect(isSameBits(output, alone[i]!), `sequence ${i}`).to.equal(true));
          }),
          { numRuns: 25 },
        );
      });

      it('leaves no tensor of a step behind', async () => {
        const sequences = sequencesFrom(2, [7, 5]);
        const loaded = tensorMemory().numTensors;
        await layer.run(sequences, mixed(sequences, 1), 3);
        expect(tensorMemory().numTensors).to.equal(loaded);
      });
    });
  }

  it('naive and absorbed agree within 1e-5, and auto is naive for prompts and absorbed for generated tokens', async () => {
    const spec = mlaSpec({});
    const weights = randomWeights(spec);
    const layers = await Promise.all(FORMS.map((form) => Layer.load(spec, weights, form)));
    const [naive, absorbed, auto] = layers as [Layer, Layer, Layer];
    const sequences = sequencesFrom(3, [20, 31]).map((sequence) => ({ ...sequence, promptLength: 12 }));
    const run = (layer: Layer): Promise<Float32Array[]> => layer.run(sequences, inTurn(sequences), 16);
    const [n, a, both] = [await run(naive), await run(absorbed), await run(auto)];
    sequences.forEach((_, i) => {
      expect(largestDifference(n[i]!, a[i]!)).to.be.above(0).and.below(1e-5);
      expect(isSameBits(both[i]!.subarray(0, 12 * HIDDEN), n[i]!.subarray(0, 12 * HIDDEN))).to.equal(true);
      expect(isSameBits(both[i]!.subarray(12 * HIDDEN), a[i]!.subarray(12 * HIDDEN))).to.equal(true);
    });
    for (const layer of layers) layer.dispose();
  });

  it('a step that runs again over the same positions gives the same bits', async () => {
    for (const spec of [mlaSpec({}), gqaSpec({})]) {
      const layer = await Layer.load(spec, randomWeights(spec), 'auto');
      const sequences = sequencesFrom(4, [9, 14]);
      const schedule = mixed(sequences, 5);
      const once = await layer.run(sequences, schedule, 3);
      const twice = await layer.run(sequences, schedule, 3, 2);
      once.forEach((output, i) => expect(isSameBits(output, twice[i]!)).to.equal(true));
      layer.dispose();
    }
  });
});
