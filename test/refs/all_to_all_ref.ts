/**
 * Dispatch, experts and combine without ranks or bytes: plain loops over tokens and choices, in the documented order of
 * summation, so that the fast path must agree bit for bit.
 */
import type { WireDtype } from '../../comm/index.js';
import { bitsOf, decodeRef, encodeRef, floatOf } from './wire_dtype_ref.js';

/** What one rank brings: T tokens, H channels, K choices. */
export interface RefInput {
  readonly x: Float32Array;
  readonly topkIdx: Int32Array;
  readonly topkWeights: Float32Array;
}

/** Dtypes by direction. */
export interface RefWire {
  readonly dispatch?: WireDtype;
  readonly combine?: WireDtype;
}

export interface RefShape {
  readonly size: number;
  readonly hidden: number;
  readonly numTopk: number;
  readonly slotsPerRank: number;
  /** Default: float32 both ways. */
  readonly wire?: RefWire;
  /** With `reduce: 'rank'`, sums are grouped by nodes of so many ranks. Default: one node. */
  readonly ranksPerNode?: number;
}

/** A row as it arrives. */
export function refTravelled(row: readonly number[], dtype: WireDtype = 'f32'): number[] {
  if (dtype === 'f32') return [...row];
  return decodeRef(dtype, encodeRef(dtype, [row.map(bitsOf)]), 1, row.length).map(floatOf);
}

/** The input without choices on these ranks, as where they are masked. */
export function refWithout(input: RefInput, { slotsPerRank }: RefShape, ranks: readonly number[]): RefInput {
  const topkIdx = input.topkIdx.map((expert) => (ranks.includes(Math.floor(expert / slotsPerRank)) ? -1 : expert));
  return { ...input, topkIdx };
}

/** A toy expert that no two experts share: row → row. */
export function refExpert(physical: number, row: readonly number[]): number[] {
  return row.map((value, h) => Math.fround(Math.fround(value * (physical + 1.25)) + (h % 3) - physical / 7));
}

/** One received row, by names. */
export interface RefRow {
  readonly source: number;
  readonly token: number;
  readonly x: readonly number[];
  /** Per choice the local slot, −1 elsewhere, and the weight, 0 elsewhere. */
  readonly slots: readonly number[];
  readonly weights: readonly number[];
}

/** What rank `destination` receives, in order. */
export function refDispatch(inputs: readonly RefInput[], shape: RefShape, destination: number): RefRow[] {
  const rows: RefRow[] = [];
  for (const [source, input] of inputs.entries()) {
    for (let token = 0; token < numTokensOf(input, shape); token++) {
      const choices = choicesOf(input, shape, token);
      const isHere = choices.map(({ expert }) => rankOf(expert, shape) === destination);
      if (!isHere.includes(true)) continue;
      const slots = choices.map(({ expert }, k) => (isHere[k] ? expert - destination * shape.slotsPerRank : -1));
      const weights = choices.map(({ weight }, k) => (isHere[k] ? weight : 0));
      rows.push({ source, token, x: xOf(input, shape, token), slots, weights });
    }
  }
  return rows;
}

/** What a wire does to a row of numbers. */
export type RefRound = (row: readonly number[]) => readonly number[];

/** How ranks are summed; default: as the shape says, each rank's row rounded once. */
export interface RefNodes {
  readonly ranksPerNode?: number;
  /** What becomes of a rank's row, and of a node's. */
  readonly roundRank?: RefRound;
  readonly roundNode?: RefRound;
}

/** y [T·H] of one rank with `reduce: 'rank'`: experts of a rank in top-k order, then ranks of a node ascending, then nodes. */
export function refCombineRank(
  input: RefInput,
  shape: RefShape,
  {
    ranksPerNode = shape.ranksPerNode ?? shape.size,
    roundRank = (row) => refTravelled(row, shape.wire?.combine),
    roundNode = (row) => row,
  }: RefNodes = {},
): Float32Array {
  const plus = (a: readonly number[] | undefined, b: readonly number[]): readonly number[] =>
    a === undefined ? b : a.map((value, h) => Math.fround(value + b[h]!));
  return perToken(input, shape, (token) => {
    let y: readonly number[] | undefined;
    for (let node = 0; node < shape.size / ranksPerNode; node++) {
      let ofNode: readonly number[] | undefined;
      for (let rank = node * ranksPerNode; rank < (node + 1) * ranksPerNode; rank++) {
        const here = choicesOf(input, shape, token).filter(({ expert }) => rankOf(expert, shape) === rank);
        if (here.length === 0) continue;
        let sum: number[] = new Array<number>(shape.hidden).fill(0);
        for (const { expert, weight } of here) {
          const row = refExpert(expert, xOf(input, shape, token));
          sum = sum.map((value, h) => Math.fround(value + weight * row[h]!));
        }
        ofNode = plus(ofNode, roundRank(sum));
      }
      if (ofNode !== undefined) y = plus(y, roundNode(ofNode));
    }
    return y ?? [];
  });
}

/** y [T·H] of one rank with `reduce: 'source'`: choices in top-k order; `round`: what the wire does to a choice's row. */
export function refCombineSource(
  input: RefInput,
  shape: RefShape,
  round: RefRound = (row) => refTravelled(row, shape.wire?.combine),
): Float32Array {
  return perToken(input, shape, (token) => {
    let y: number[] = new Array<number>(shape.hidden).fill(0);
    for (const { expert, weight } of choicesOf(input, shape, token)) {
      if (expert === -1) continue;
      const row = round(refExpert(expert, xOf(input, shape, token)));
      y = y.map((value, h) => Math.fround(value + weight * row[h]!));
    }
    return y;
  });
}

const numTokensOf = (input: RefInput, { hidden }: RefShape): number => input.x.length / hidden;

const rankOf = (expert: number, { slotsPerRank }: RefShape): number =>
  expert === -1 ? -1 : Math.floor(expert / slotsPerRank);

const xOf = ({ x }: RefInput, { hidden, wire }: RefShape, token: number): number[] =>
  refTravelled([...x.slice(token * hidden, (token + 1) * hidden)], wire?.dispatch);

function choicesOf(input: RefInput, { numTopk }: RefShape, token: number): { expert: number; weight: number }[] {
  return Array.from({ length: numTopk }, (_, k) => ({
    expert: input.topkIdx[token * numTopk + k]!,
    weight: input.topkWeights[token * numTopk + k]!,
  }));
}

function perToken(input: RefInput, shape: RefShape, rowOf: (token: number) => readonly number[]): Float32Array {
  const y = new Float32Array(input.x.length);
  for (let token = 0; token < numTokensOf(input, shape); token++) y.set(rowOf(token), token * shape.hidden);
  return y;
}
