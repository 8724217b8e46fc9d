/** One layer without keys and values over one whole sequence, slow and obvious, in float64, from weights as a checkpoint stores them. */
import type { DeltaRuleMixer, ShortConvMixer } from '../../lib/model/spec/spec.js';
import { linearRef, normRef, type WeightsRef } from './attention_ref.js';

type Row = readonly number[];

const silu = (x: number): number => x / (1 + Math.exp(-x));
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const plus = (row: Row, bias: Float32Array | undefined): Row =>
  bias === undefined ? row : row.map((v, i) => v + bias[i]!);

/** Each channel's weighted sum of its last `width` inputs. */
function convolved(inputs: readonly Row[], filter: Float32Array, width: number): Row[] {
  return inputs.map((row, t) =>
    row.map((_, c) => {
      const terms = range(width).map((j) => filter[c * width + j]! * (inputs[t - width + 1 + j]?.[c] ?? 0));
      return terms.reduce((a, b) => a + b, 0);
    }),
  );
}

/** LFM2's layer, behind its norm. */
export function shortConvRef(x: readonly Row[], weights: WeightsRef, { width }: ShortConvMixer): Row[] {
  const hidden = x[0]!.length;
  const projected = x.map((row) => plus(linearRef(weights['in_proj.weight']!, row), weights['in_proj.bias']));
  const part = (row: Row, i: number): Row => row.slice(i * hidden, (i + 1) * hidden);
  const gated = projected.map((row) => part(row, 0).map((b, c) => b * part(row, 2)[c]!));
  const out = convolved(gated, weights['conv.weight']!, width).map((row) => plus(row, weights['conv.bias']));
  return out.map((row, t) => {
    const closed = row.map((value, c) => value * part(projected[t]!, 1)[c]!);
    return plus(linearRef(weights['out_proj.weight']!, closed), weights['out_proj.bias']);
  });
}

/** What a token's projections are, whatever the order of their rows. */
interface Projected {
  readonly queries: Row;
  readonly keys: Row;
  readonly values: Row;
  readonly gates: Row;
  readonly rates: Row;
  readonly times: Row;
}

function projectedRef(row: Row, weights: WeightsRef, mixer: DeltaRuleMixer): Projected {
  const { numKeyHeads, numValueHeads, keyHeadDim, valueHeadDim } = mixer;
  const [keys, values] = [numKeyHeads * keyHeadDim, numValueHeads * valueHeadDim];
  if (mixer.projections === 'apart') {
    const mixed = linearRef(weights['in_proj_qkv.weight']!, row);
    return {
      queries: mixed.slice(0, keys),
      keys: mixed.slice(keys, 2 * keys),
      values: mixed.slice(2 * keys),
      gates: linearRef(weights['in_proj_z.weight']!, row),
      rates: linearRef(weights['in_proj_b.weight']!, row),
      times: linearRef(weights['in_proj_a.weight']!, row),
    };
  }
  const [all, both] = [weights['in_proj_qkvz.weight']!, weights['in_proj_ba.weight']!].map((w) => linearRef(w, row));
  const [ofHead, own] = [all!.length / numKeyHeads, values / numKeyHeads];
  const heads = (from: number, size: number): Row =>
    range(numKeyHeads).flatMap((head) => all!.slice(head * ofHead + from, head * ofHead + from + size));
  const each = numValueHeads / numKeyHeads;
  const numbers = (from: number): Row =>
    range(numKeyHeads).flatMap((head) => both!.slice(head * 2 * each + from, head * 2 * each + from + each));
  return {
    queries: heads(0, keyHeadDim),
    keys: heads(keyHeadDim, keyHeadDim),
    values: heads(2 * keyHeadDim, own),
    gates: heads(2 * keyHeadDim + own, own),
    rates: numbers(0),
    times: numbers(each),
  };
}

/** Qwen3-Next's layer, behind its norm. */
export function deltaRuleRef(x: readonly Row[], weights: WeightsRef, mixer: DeltaRuleMixer, eps: number): Row[] {
  const { numKeyHeads, numValueHeads, keyHeadDim, valueHeadDim, width } = mixer;
  const projected = x.map((row) => projectedRef(row, weights, mixer));
  const mixed = projected.map(({ queries, keys, values }) => [...queries, ...keys, ...values]);
  const rows = convolved(mixed, weights['conv1d.weight']!, width).map((row) => row.map(silu));
  const keys = numKeyHeads * keyHeadDim;
  const heads = range(numValueHeads).map((head) => {
    const keyHead = Math.floor(head / (numValueHeads / numKeyHeads));
    const tokens = rows.map((row, t) => {
      const time = projected[t]!.times[head]! + weights.dt_bias![head]!;
      return {
        query: unit(row.slice(keyHead * keyHeadDim, (keyHead + 1) * keyHeadDim)).map((v) => v / keyHeadDim ** 0.5),
        key: unit(row.slice(keys + keyHead * keyHeadDim, keys + (keyHead + 1) * keyHeadDim)),
        value: row.slice(2 * keys + head * valueHeadDim, 2 * keys + (head + 1) * valueHeadDim),
        rate: sigmoid(projected[t]!.rates[head]!),
        decay: Math.exp(-Math.exp(weights.A_log![head]!) * Math.log1p(Math.exp(time))),
      };
    });
    return recurrent(tokens, keyHeadDim, valueHeadDim);
  });
  return x.map((_, t) => {
    const found = heads.flatMap((outs, head) => {
      const gates = projected[t]!.gates.slice(head * valueHeadDim, (head + 1) * valueHeadDim);
      return normRef(weights['norm.weight']!, outs[t]!, eps).map((value, c) => value * silu(gates[c]!));
    });
    return linearRef(weights['out_proj.weight']!, found);
  });
}

interface TokenRef {
  readonly query: Row;
  readonly key: Row;
  readonly value: Row;
  readonly rate: number;
  readonly decay: number;
}

/** S ← a·S + k ⊗ b·(v − (a·S)ᵀk); the output is Sᵀq. */
function recurrent(tokens: readonly TokenRef[], numKeys: number, numValues: number): Row[] {
  const state = range(numKeys).map(() => new Array<number>(numValues).fill(0));
  return tokens.map(({ query, key, value, rate, decay }) => {
    for (const row of state) for (let v = 0; v < numValues; v++) row[v]! *= decay;
    const held = range(numValues).map((v) => state.reduce((sum, row, k) => sum + row[v]! * key[k]!, 0));
    state.forEach((row, k) => {
      for (let v = 0; v < numValues; v++) row[v]! += key[k]! * rate * (value[v]! - held[v]!);
    });
    return range(numValues).map((v) => state.reduce((sum, row, k) => sum + row[v]! * query[k]!, 0));
  });
}

function unit(row: Row): Row {
  const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 1e-6));
  return row.map((value) => value / length);
}
