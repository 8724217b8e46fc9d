/** One attention layer over one whole sequence, slow and obvious, in float64, from weights as a checkpoint stores them. */
import type { GqaSpec, MlaSpec, RopeSpec } from '../../lib/model/spec/spec.js';
import { rotateRef } from './rope_ref.js';

/** Matrices [out·in] and norm weights, row-major, by the names of Hugging Face checkpoints: `q_proj`, `kv_a_layernorm`, … */
export type WeightsRef = Readonly<Record<string, Float32Array>>;

type Row = readonly number[];

/** Rows of one head: queries, keys and values of every token. */
interface HeadRef {
  readonly queries: readonly Row[];
  readonly keys: readonly Row[];
  readonly values: readonly Row[];
}

/** Multi-head latent attention, with expanded keys and values. */
export function mlaRef(x: readonly Row[], weights: WeightsRef, spec: MlaSpec, rope: RopeSpec, eps: number): Row[] {
  const { numHeads, qLoraRank, kvLoraRank, qkNopeHeadDim: nope, qkRopeHeadDim, vHeadDim } = spec;
  const tokens = x.map((row, position) => {
    const queries =
      qLoraRank === null
        ? linearRef(weights.q_proj!, row)
        : linearRef(weights.q_b_proj!, normRef(weights.q_a_layernorm!, linearRef(weights.q_a_proj!, row), eps));
    const compressed = linearRef(weights.kv_a_proj_with_mqa!, row);
    const latent = normRef(weights.kv_a_layernorm!, compressed.slice(0, kvLoraRank), eps);
    const keyRope = rotateRef(compressed.slice(kvLoraRank), position, rope);
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
  return attendRef(heads, spec.softmaxScale).map((row) => linearRef(weights.o_proj!, row));
}

/** Grouped-query attention, keys and values repeated for the query heads of their group. */
export function gqaRef(x: readonly Row[], weights: WeightsRef, spec: GqaSpec, rope: RopeSpec, eps: number): Row[] {
  const { numHeads, numKvHeads, headDim, qkNorm } = spec;
  const project = (name: string, row: Row, head: number): Row =>
    linearRef(weights[name]!, row).slice(head * headDim, (head + 1) * headDim);
  const rotated = (row: Row, normName: string, position: number): Row =>
    rotateRef(qkNorm === 'head' ? normRef(weights[normName]!, row, eps) : row, position, rope);
  const heads = range(numHeads).map((head): HeadRef => {
    const kvHead = Math.floor(head / (numHeads / numKvHeads));
    return {
      queries: x.map((row, position) => rotated(project('q_proj', row, head), 'q_norm', position)),
      keys: x.map((row, position) => rotated(project('k_proj', row, kvHead), 'k_norm', position)),
      values: x.map((row) => project('v_proj', row, kvHead)),
    };
  });
  return attendRef(heads, spec.softmaxScale).map((row) => linearRef(weights.o_proj!, row));
}

/** Causal softmax attention; each token's heads side by side. */
function attendRef(heads: readonly HeadRef[], scale: number): Row[] {
  return heads[0]!.queries.map((_, t) =>
    heads.flatMap(({ queries, keys, values }) =>
      attendRowRef(queries[t]!, keys.slice(0, t + 1), values.slice(0, t + 1), scale),
    ),
  );
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
  return range(values[0]!.length).map((d) =>
    powers.reduce((total, power, s) => total + (power / sum) * values[s]![d]!, 0),
  );
}

/** W·x of a matrix stored [out, in]. */
export function linearRef(matrix: Float32Array, x: Row): number[] {
  return range(matrix.length / x.length).map((row) => dot(matrix.subarray(row * x.length, (row + 1) * x.length), x));
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
