/** What dispatch and combine of the normal mode must give, against the reference, bit for bit. */
import { expect } from 'chai';
import type { DispatchResult, Mesh, Reduce } from '../../../comm/index.js';
import { bits, randomInput, randomOf, roundTrip, tagOf } from './all_to_all.js';
import {
  refCombineRank,
  refCombineSource,
  refDispatch,
  type RefInput,
  type RefShape,
} from '../../refs/all_to_all_ref.js';

/** Both ways to sum. */
export const REDUCES = ['rank', 'source'] as const;

/** The sums that a rank gets back, from the reference. */
export const refCombine = (reduce: Reduce, input: RefInput, shape: RefShape): Float32Array =>
  reduce === 'rank' ? refCombineRank(input, shape) : refCombineSource(input, shape);

/** Random tokens for every rank, with experts of all ranks and some −1. */
export function inputsOf(numTokens: readonly number[], shape: RefShape, seed: number): RefInput[] {
  const random = randomOf(seed);
  const numExperts = shape.size * shape.slotsPerRank;
  return numTokens.map((count) => randomInput(count, shape, random, () => Math.floor(random() * (numExperts + 1)) - 1));
}

/** A rank received the rows, slots and weights of the reference, in its order. */
export function expectReceived(recv: DispatchResult, inputs: readonly RefInput[], shape: RefShape, rank: number): void {
  const rows = refDispatch(inputs, shape, rank);
  expect([...recv.recvX]).to.deep.equal(rows.flatMap((row) => row.x));
  expect([...recv.recvTopkIdx]).to.deep.equal(rows.flatMap((row) => row.slots));
  expect([...recv.recvTopkWeights]).to.deep.equal(recv.reduce === 'rank' ? rows.flatMap((row) => row.weights) : []);
}

/** Every rank got the sums of the reference, bit for bit. */
export function expectSums(
  y: readonly Float32Array[],
  inputs: readonly RefInput[],
  shape: RefShape,
  reduce: Reduce,
): void {
  for (const [rank, rows] of y.entries()) {
    expect(bits(rows), `rank ${rank}`).to.deep.equal(bits(refCombine(reduce, inputs[rank]!, shape)));
  }
}

/** One round trip gives all of the reference, bit for bit. */
export async function expectExact(
  meshes: Mesh[],
  inputs: readonly RefInput[],
  shape: RefShape,
  reduce: Reduce,
  step = 0,
) {
  const { received, y } = await roundTrip(meshes, shape, inputs, reduce, tagOf(step));
  for (const [rank, recv] of received.entries()) expectReceived(recv, inputs, shape, rank);
  expectSums(y, inputs, shape, reduce);
}

/** Tokens of one source by destination, and their (token, choice) pairs, counted with sets. */
export function countsOf({ topkIdx }: RefInput, { size, numTopk, slotsPerRank }: RefShape) {
  const tokens = Array.from({ length: size }, () => new Set<number>());
  const pairs = new Array<number>(size).fill(0);
  for (const [i, expert] of topkIdx.entries()) {
    if (expert < 0) continue;
    tokens[Math.floor(expert / slotsPerRank)]!.add(Math.floor(i / numTopk));
    pairs[Math.floor(expert / slotsPerRank)]!++;
  }
  return { tokens: tokens.map((rows) => rows.size), pairs };
}

/** Own tokens with a choice on one of the ranks, ascending. */
export function degradedOf(
  { topkIdx }: RefInput,
  { numTopk, slotsPerRank }: RefShape,
  ranks: readonly number[],
): number[] {
  const rows = [...topkIdx].flatMap((expert, i) =>
    ranks.includes(Math.floor(expert / slotsPerRank)) ? [Math.floor(i / numTopk)] : [],
  );
  return [...new Set(rows)];
}
