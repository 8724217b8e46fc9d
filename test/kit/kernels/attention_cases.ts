/** Attention layers of all kinds, with sequences and schedules to run them on. */
import type { SequencePart } from '../../../lib/model/decoder/decoder.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import {
  type GqaSpec,
  type IndexerSpec,
  type MlaForm,
  type MlaSpec,
  type ModelSpec,
  type RopeSpec,
  windowOf,
} from '../../../lib/model/spec/spec.js';
import { chosenRef, gqaRef, mlaRef, type CachedRef, type WeightsRef } from '../../refs/attention_ref.js';
import { randomFrom, randomValues } from '../../refs/random.js';

export const HIDDEN = 40;
export const EPS = 1e-6;
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

export const mlaSpec = (config: object): ModelSpec =>
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

export const gqaSpec = (config: object): ModelSpec =>
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

/** A model with what families add to GQA. `window`: of its layers. */
export const gqaVariant = (
  attention: Partial<GqaSpec>,
  { rope, window = null }: { readonly rope?: Partial<RopeSpec>; readonly window?: number | null } = {},
): ModelSpec => {
  const plain = gqaSpec({});
  const mixer = { kind: 'attention', window } as const;
  return {
    ...plain,
    attention: { ...plain.attention, kind: 'gqa', ...attention } as GqaSpec,
    rope: { ...plain.rope, ...rope },
    layers: plain.layers.map((layer) => ({ ...layer, mixer })),
  };
};

/** Latent attention with an indexer in every layer. */
export const indexedSpec = (indexer: Partial<IndexerSpec>, config: object = {}): ModelSpec => {
  const plain = mlaSpec(config);
  const own = { numHeads: 5, headDim: 10, topk: 7, layout: 'half', isOwn: [true], ...indexer } as const;
  return { ...plain, attention: { ...(plain.attention as MlaSpec), indexer: own } };
};

export interface AttentionCase {
  readonly name: string;
  readonly spec: ModelSpec;
  readonly form: MlaForm;
}

export const FORMS: readonly MlaForm[] = ['naive', 'absorbed', 'auto'];
export const CASES: readonly AttentionCase[] = [
  ...FORMS.map((form): AttentionCase => ({ name: `MLA, ${form}`, spec: mlaSpec({}), form })),
  ...FORMS.map((form): AttentionCase => ({
    name: `MLA without query compression, ${form}`,
    spec: mlaSpec({ q_lora_rank: null }),
    form,
  })),
  { name: 'MLA of one head, auto', spec: mlaSpec({ num_attention_heads: 1, rope_scaling: null }), form: 'auto' },
  { name: 'GQA', spec: gqaSpec({}), form: 'auto' },
  { name: 'GQA with one KV head', spec: gqaSpec({ num_key_value_heads: 1 }), form: 'auto' },
  { name: 'GQA with as many KV heads as heads', spec: gqaSpec({ num_key_value_heads: 6 }), form: 'auto' },
  {
    name: 'GQA with biases, clamped',
    spec: gqaVariant({ hasQkvBias: true, hasOutputBias: true, clip: 1.1 }),
    form: 'auto',
  },
  { name: 'GQA without norms', spec: gqaVariant({ qkNorm: null }), form: 'auto' },
  {
    name: 'GQA with norms of whole vectors, clamped',
    spec: gqaVariant({ qkNorm: 'vector', clip: 0.8, hasQkvBias: true }),
    form: 'auto',
  },
  { name: 'GQA of which six channels are rotated', spec: gqaVariant({}, { rope: { dim: 6 } }), form: 'auto' },
  {
    name: 'GQA of which four channels are rotated in pairs',
    spec: gqaVariant({ qkNorm: 'vector' }, { rope: { dim: 4, layout: 'interleaved' } }),
    form: 'auto',
  },
  { name: 'GQA with gates', spec: gqaVariant({ hasOutputGate: true }, { rope: { dim: 4 } }), form: 'auto' },
  {
    name: 'GQA with gates, biases and norms of whole vectors',
    spec: gqaVariant({ hasOutputGate: true, hasQkvBias: true, qkNorm: 'vector' }),
    form: 'auto',
  },
  { name: 'GQA with windows', spec: gqaVariant({}, { window: 6 }), form: 'auto' },
  {
    name: 'GQA with windows and sinks',
    spec: gqaVariant({ hasSinks: true, qkNorm: null, hasQkvBias: true, hasOutputBias: true }, { window: 17 }),
    form: 'auto',
  },
];

/** For kernels alone. */
export const INDEXED_CASES: readonly AttentionCase[] = [
  ...FORMS.map((form): AttentionCase => ({ name: `MLA with an indexer, ${form}`, spec: indexedSpec({}), form })),
  {
    name: 'MLA with an indexer of many heads, turned in pairs, and one key',
    spec: indexedSpec({ numHeads: 33, headDim: 8, topk: 1, layout: 'interleaved' }),
    form: 'auto',
  },
  {
    name: 'MLA of many heads with an indexer',
    spec: indexedSpec({ numHeads: 16, topk: 16 }, { num_attention_heads: 17, num_key_value_heads: 17 }),
    form: 'auto',
  },
];

/** Shapes [out, in] of the layer's tensors; norms, biases and sinks have one number. */
export function shapesOf({ attention: spec }: ModelSpec): Record<string, readonly number[]> {
  if (spec.kind === 'gqa') {
    const { numHeads, numKvHeads, headDim, qkNorm, hasQkvBias, hasOutputBias, hasSinks, hasOutputGate } = spec;
    const [width, kvWidth] = [numHeads * headDim, numKvHeads * headDim];
    const qWidth = hasOutputGate ? 2 * width : width;
    return {
      q_proj: [qWidth, HIDDEN],
      k_proj: [kvWidth, HIDDEN],
      v_proj: [kvWidth, HIDDEN],
      o_proj: [HIDDEN, width],
      ...(qkNorm === 'head' && { q_norm: [headDim], k_norm: [headDim] }),
      ...(qkNorm === 'vector' && { q_norm: [width], k_norm: [kvWidth] }),
      ...(hasQkvBias && { 'q_proj.bias': [qWidth], 'k_proj.bias': [kvWidth], 'v_proj.bias': [kvWidth] }),
      ...(hasOutputBias && { 'o_proj.bias': [HIDDEN] }),
      ...(hasSinks && { sinks: [numHeads] }),
    };
  }
  const { numHeads, qLoraRank, kvLoraRank, qkNopeHeadDim, qkRopeHeadDim, vHeadDim, indexer } = spec;
  const qWidth = numHeads * (qkNopeHeadDim + qkRopeHeadDim);
  return {
    ...(qLoraRank === null
      ? { q_proj: [qWidth, HIDDEN] }
      : { q_a_proj: [qLoraRank, HIDDEN], q_a_layernorm: [qLoraRank], q_b_proj: [qWidth, qLoraRank] }),
    kv_a_proj_with_mqa: [kvLoraRank + qkRopeHeadDim, HIDDEN],
    kv_a_layernorm: [kvLoraRank],
    kv_b_proj: [numHeads * (qkNopeHeadDim + vHeadDim), kvLoraRank],
    o_proj: [HIDDEN, numHeads * vHeadDim],
    ...(indexer !== null && {
      'indexer.wq_b': [indexer.numHeads * indexer.headDim, qLoraRank!],
      'indexer.wk': [indexer.headDim, HIDDEN],
      'indexer.k_norm': [indexer.headDim],
      'indexer.k_norm.bias': [indexer.headDim],
      'indexer.weights_proj': [indexer.numHeads, HIDDEN],
    }),
  };
}

export function randomWeights(spec: ModelSpec): WeightsRef {
  const random = randomFrom(11);
  return Object.fromEntries(
    Object.entries(shapesOf(spec)).map(([name, shape]) => {
      const values = randomValues(
        random,
        shape.reduce((a, b) => a * b, 1),
        shape.length === 1 ? 0.5 : 0.4,
      );
      return [name, name.endsWith('norm') ? values.map((value) => 1 + value) : values];
    }),
  );
}

/** A sequence: its hidden states [L·H], of which the first come as a prompt. */
export interface Sequence {
  readonly x: Float32Array;
  readonly length: number;
  readonly promptLength: number;
}

export const sequencesFrom = (seed: number, lengths: readonly number[]): Sequence[] => {
  const random = randomFrom(seed);
  return lengths.map((length) => ({
    x: randomValues(random, length * HIDDEN),
    length,
    promptLength: Math.ceil(length * random()) || 1,
  }));
};

/** Which tokens a step takes: sequence and how many. */
export type Schedule = readonly (readonly (readonly [sequence: number, numTokens: number])[])[];

/** One sequence after the other, the prompt whole and generated tokens one by one. */
export const inTurn = (sequences: readonly Sequence[]): Schedule =>
  sequences.flatMap(({ length, promptLength }, i) => [
    [[i, promptLength] as const],
    ...Array.from({ length: length - promptLength }, () => [[i, 1] as const]),
  ]);

/** Random mixes of prompt chunks and generated tokens of several sequences. */
export function mixed(sequences: readonly Sequence[], seed: number): Schedule {
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

/** Output [L·H] of each sequence, from a layer's output of each step; every step is run `numRuns` times. */
export async function runSchedule(
  sequences: readonly Sequence[],
  schedule: Schedule,
  forward: (x: Float32Array, parts: readonly SequencePart[]) => Promise<Float32Array> | Float32Array,
  numRuns = 1,
): Promise<Float32Array[]> {
  const outputs = sequences.map(({ x }) => new Float32Array(x.length));
  const done = sequences.map(() => 0);
  for (const step of schedule) {
    const isPrompt = ([i]: readonly [number, number]): boolean => done[i]! < sequences[i]!.promptLength;
    const ordered = [...step].sort((a, b) => Number(isPrompt(a)) - Number(isPrompt(b)));
    let rowStart = 0;
    const parts = ordered.map(([i, numTokens]): SequencePart => {
      // Blocks of the sequences interleave, so that neighbours in a sequence are no neighbours in the pool.
      const blocks = Array.from({ length: 80 }, (_, block) => block * sequences.length + i);
      const part = { rowStart, numTokens, position: done[i]!, blocks, isPrompt: isPrompt([i, numTokens]) };
      rowStart += numTokens;
      return part;
    });
    const rowsOfPart = (x: Float32Array, { position, numTokens }: SequencePart): Float32Array =>
      x.subarray(position * HIDDEN, (position + numTokens) * HIDDEN);
    const x = new Float32Array(rowStart * HIDDEN);
    ordered.forEach(([i], p) => x.set(rowsOfPart(sequences[i]!.x, parts[p]!), parts[p]!.rowStart * HIDDEN));
    let y = await forward(x, parts);
    for (let again = 1; again < numRuns; again++) y = await forward(x, parts);
    ordered.forEach(([i, numTokens], p) => {
      const { rowStart: row, position } = parts[p]!;
      outputs[i]!.set(y.subarray(row * HIDDEN, (row + numTokens) * HIDDEN), position * HIDDEN);
      done[i]! += numTokens;
    });
  }
  return outputs;
}

/** Output [L·H] of a sequence, in float64. `cached`: what the cache gives back; default: what was put into it. */
export function reference(
  { x }: Sequence,
  weights: WeightsRef,
  { attention, rope, layers }: ModelSpec,
  cached?: CachedRef,
): number[] {
  const rows = Array.from({ length: x.length / HIDDEN }, (_, t) => [...x.subarray(t * HIDDEN, (t + 1) * HIDDEN)]);
  if (attention.kind === 'gqa') return gqaRef(rows, weights, attention, rope, EPS, windowOf(layers[0]!), cached).flat();
  const chosen = attention.indexer && chosenRef(rows, weights, attention, rope, EPS, cached);
  return mlaRef(rows, weights, attention, rope, EPS, chosen, cached).flat();
}
