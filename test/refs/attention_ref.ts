/** One attention layer over one whole sequence, slow and obvious, in float64, from weights as a checkpoint stores them. */
import type { GqaSpec, MlaSpec, RopeSpec } from '../../lib/model/spec/spec.js';
import { rotateRef } from './rope_ref.js';

/** Matrices [out·in] and vectors, row-major, by the names of Hugging Face checkpoints: `q_proj`, `kv_a_layernorm`, `q_proj.bias`, `sinks`, … */
export type WeightsRef = Readonly<Record<string, Float32Array>>;

type Row = readonly number[];

/** Rows of one head: queries, keys and values of every token. */
interface HeadRef {
  readonly queries: readonly Row[];
  readonly keys: readonly Row[];
  readonly values: readonly Row[];
  readonly sink?: number;
}

/** What a cache gives back of each token: its lanes' rows, one behind the other (cache_layout.ts). */
export type CachedRef = readonly Row[];

/** Keys that each token attends to by an indexer, ascending. */
export function chosenRef(
  x: readonly Row[],
  weights: WeightsRef,
  spec: MlaSpec,
  rope: RopeSpec,
  eps: number,
  cached?: CachedRef,
): Row[] {
  const { numHeads, headDim, topk, layout } = spec.indexer!;
  const rotated = (row: Row, position: number): Row => [
    ...rotateRef(row.slice(0, rope.dim), position, { ...rope, layout }),
    ...row.slice(rope.dim),
  ];
  const [norm, bias] = [weights['indexer.k_norm']!, weights['indexer.k_norm.bias']!];
  const tokens = x.map((row, position) => {
    const queries = linearRef(
      weights['indexer.wq_b']!,
      normRef(weights.q_a_layernorm!, linearRef(weights.q_a_proj!, row), eps),
    );
    return {
      queries: range(numHeads).map((head) => rotated(queries.slice(head * headDim, (head + 1) * headDim), position)),
      key:
        cached?.[position]!.slice(-headDim) ??
        rotated(layerNormRef(norm, bias, linearRef(weights['indexer.wk']!, row), 1e-6), position),
      weights: linearRef(weights['indexer.weights_proj']!, row),
    };
  });
  return tokens.map((token, t) => {
    const scores = tokens.slice(0, t + 1).map(({ key }) =>
      token.queries.reduce((sum, query, head) => {
        const score = Math.max(0, dot(query, key) / Math.sqrt(headDim));
        return sum + (token.weights[head]! / Math.sqrt(numHeads)) * score;
      }, 0),
    );
    const best = range(t + 1).sort((a, b) => scores[b]! - scores[a]! || a - b);
    return best.slice(0, topk).sort((a, b) => a - b);
  });
}

/** Multi-head latent attention, with expanded keys and values. `chosen`: keys that each token attends to; null: all that it sees. */
export function mlaRef(
  x: readonly Row[],
  weights: WeightsRef,
  spec: MlaSpec,
  rope: RopeSpec,
  eps: number,
  chosen: readonly Row[] | null = null,
  cached?: CachedRef,
): Row[] {
  const { numHeads, qLoraRank, kvLoraRank, qkNopeHeadDim: nope, qkRopeHeadDim, vHeadDim } = spec;
  const tokens = x.map((row, position) => {
    const queries =
      qLoraRank === null
        ? linearRef(weights.q_proj!, row)
        : linearRef(weights.q_b_proj!, normRef(weights.q_a_layernorm!, linearRef(weights.q_a_proj!, row), eps));
    const compressed = linearRef(weights.kv_a_proj_with_mqa!, row);
    const own = cached?.[position];
    const latent = own?.slice(0, kvLoraRank) ?? normRef(weights.kv_a_layernorm!, compressed.slice(0, kvLoraRank), eps);
    const keyRope =
      own?.slice(kvLoraRank, kvLoraRank + qkRopeHeadDim) ?? rotateRef(compressed.slice(kvLoraRank), position, rope);
    const expanded = linearRef(weights.kv_b_proj!, latent);
    return { queries, keyRope, expanded, position };
  });
  const heads = range(numHeads).map((head): HeadRef => {
    const own = (row: Row, width: number): Row => row.slice(head * width, (head + 1) * width);
    return {
      queries: tokens.map(({ queries, position }) => {
        const query = own(queries, nope + qkRopeHeadDim);
        return [...query.slice(0, nope), ...rotateRef(query.slice(nope), position, rope)];
      }),
      keys: tokens.map(({ expanded, keyRope }) => [...own(expanded, nope + vHeadDim).slice(0, nope), ...keyRope]),
      values: tokens.map(({ expanded }) => own(expanded, nope + vHeadDim).slice(nope)),
    };
  });
  return attendRef(heads, spec.softmaxScale, null, chosen).map((row) => linearRef(weights.o_proj!, row));
}

/** Grouped-query attention, keys and values repeated for the query heads of their group. `window`: keys that a token sees at most, itself included; null: all. */
export function gqaRef(
  x: readonly Row[],
  weights: WeightsRef,
  spec: GqaSpec,
  rope: RopeSpec,
  eps: number,
  window: number | null = null,
  cached?: CachedRef,
): Row[] {
  const { numHeads, numKvHeads, headDim, qkNorm, clip, hasOutputGate } = spec;
  const ofHead = (row: Row, head: number): Row => row.slice(head * headDim, (head + 1) * headDim);
  const clamped = (row: Row): Row => (clip === null ? row : row.map((value) => Math.max(-clip, Math.min(clip, value))));
  const gatedQueries = x.map((row) => biasedRef(weights, 'q_proj', row));
  // A head's query, then its gate.
  const pick = (row: Row, isGate: boolean): Row =>
    row.filter((_, i) => !hasOutputGate || Math.floor(i / headDim) % 2 === Number(isGate));
  const projected = (name: string, normName: string | null): Row[] =>
    x.map((row, t) => {
      const all = name === 'q_proj' ? pick(gatedQueries[t]!, false) : biasedRef(weights, name, row);
      return qkNorm === 'vector' && normName !== null ? normRef(weights[normName]!, all, eps) : all;
    });
  const rotated = (row: Row, normName: string, position: number): Row => {
    const normed = clamped(qkNorm === 'head' ? normRef(weights[normName]!, row, eps) : row);
    return [...rotateRef(normed.slice(0, rope.dim), position, rope), ...normed.slice(rope.dim)];
  };
  const [q, k, v] = [projected('q_proj', 'q_norm'), projected('k_proj', 'k_norm'), projected('v_proj', null)];
  const heads = range(numHeads).map((head): HeadRef => {
    const kvHead = Math.floor(head / (numHeads / numKvHeads));
    return {
      queries: q.map((row, position) => rotated(ofHead(row, head), 'q_norm', position)),
      keys:
        cached?.map((row) => ofHead(row, 2 * kvHead)) ?? k.map((row, t) => rotated(ofHead(row, kvHead), 'k_norm', t)),
      values: cached?.map((row) => ofHead(row, 2 * kvHead + 1)) ?? v.map((row) => clamped(ofHead(row, kvHead))),
      ...(spec.hasSinks && { sink: weights.sinks![head]! }),
    };
  });
  const gate = (row: Row, t: number): Row =>
    row.map((value, i) => (hasOutputGate ? value / (1 + Math.exp(-pick(gatedQueries[t]!, true)[i]!)) : value));
  return attendRef(heads, spec.softmaxScale, window).map((row, t) => biasedRef(weights, 'o_proj', gate(row, t)));
}

/** Causal softmax attention; each token's heads side by side. */
function attendRef(
  heads: readonly HeadRef[],
  scale: number,
  window: number | null = null,
  chosen: readonly Row[] | null = null,
): Row[] {
  return heads[0]!.queries.map((_, t) => {
    const first = window === null ? 0 : Math.max(0, t + 1 - window);
    const seen = (rows: readonly Row[]): readonly Row[] =>
      chosen?.[t]!.map((s) => rows[s]!) ?? rows.slice(first, t + 1);
    return heads.flatMap(({ queries, keys, values, sink }) =>
      attendRowRef(queries[t]!, seen(keys), seen(values), scale, sink),
    );
  });
}

/** One query over the keys that it sees; `sink`: a score that takes part in the denominator only. */
export function attendRowRef(
  query: ArrayLike<number>,
  keys: readonly ArrayLike<number>[],
  values: readonly ArrayLike<number>[],
  scale: number,
  sink = -Infinity,
): number[] {
  const scores = keys.map((key) => scale * dot(query, key));
  const highest = Math.max(sink, ...scores);
  const powers = scores.map((score) => Math.exp(score - highest));
  const sum = powers.reduce((a, b) => a + b, Math.exp(sink - highest));
  const attended = new Array<number>(values[0]!.length).fill(0);
  for (const [s, power] of powers.entries()) {
    const value = values[s]!;
    for (let d = 0; d < attended.length; d++) attended[d]! += (power / sum) * value[d]!;
  }
  return attended;
}

/** W·x of a matrix stored [out, in]. */
export function linearRef(matrix: Float32Array, x: Row): number[] {
  return range(matrix.length / x.length).map((row) => dot(matrix.subarray(row * x.length, (row + 1) * x.length), x));
}

/** W·x + b, where there is a b. */
function biasedRef(weights: WeightsRef, name: string, x: Row): number[] {
  const bias = weights[`${name}.bias`];
  return linearRef(weights[name]!, x).map((value, i) => value + (bias?.[i] ?? 0));
}

export function layerNormRef(weight: Float32Array, bias: Float32Array, x: Row, eps: number): number[] {
  const mean = x.reduce((a, b) => a + b) / x.length;
  const ones = new Float32Array(x.length).fill(1);
  const normed = normRef(
    ones,
    x.map((value) => value - mean),
    eps,
  );
  return normed.map((value, i) => value * weight[i]! + bias[i]!);
}

export function normRef(weight: Float32Array, x: Row, eps: number): number[] {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => value * scale * weight[i]!);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
