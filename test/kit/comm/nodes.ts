/** All ranks of a hierarchical all-to-all in one process, beside the reference. */
import { expect } from 'chai';
import { createLocalMeshes, type DispatchResult, type Mesh, type Reduce, type WireDtype } from '../../../comm/index.js';
import { roundTripRows } from '../../../comm/codec/wire_dtype.js';
import {
  refCombineRank,
  refCombineSource,
  refDispatch,
  type RefInput,
  type RefRound,
  type RefShape,
} from '../../refs/all_to_all_ref.js';
import { randomInput, randomOf } from './all_to_all.js';

/** What a test varies. */
export interface NodesCase {
  readonly shape: RefShape;
  readonly ranksPerNode: number;
  readonly reduce: Reduce;
  readonly wire?: { readonly dispatch: WireDtype; readonly combine: WireDtype };
}

export const bits = (values: Float32Array): number[] => [...new Uint32Array(values.slice().buffer)];

/** Runs `body` on open meshes and closes them whatever happens. */
export async function withMeshes<T>(
  meshes: Mesh[] | number,
  body: (meshes: readonly Mesh[]) => Promise<T>,
): Promise<T> {
  const open = typeof meshes === 'number' ? createLocalMeshes(meshes, { microBatches: 2 }) : meshes;
  try {
    return await body(open);
  } finally {
    await Promise.all(open.map((mesh) => mesh.close()));
  }
}

/** `counts[rank]` random tokens per rank; every choice is any expert or none. */
export function randomInputs(counts: readonly number[], shape: RefShape, seed: number): RefInput[] {
  const random = randomOf(seed);
  const numExperts = shape.size * shape.slotsPerRank;
  return counts.map((count) => randomInput(count, shape, random, () => Math.floor(random() * (numExperts + 1)) - 1));
}

/** The input as experts see it: rounded by the dispatch dtype. */
export function arriving(input: RefInput, { shape, wire }: NodesCase): RefInput {
  const x = new Float32Array(input.x.length);
  roundTripRows(wire?.dispatch ?? 'f32', input.x, null, x.length / shape.hidden, shape.hidden, x, 0);
  return { ...input, x };
}

/** What a rank's experts get, field by field. */
export function expectReceived(recv: DispatchResult, inputs: readonly RefInput[], one: NodesCase, rank: number): void {
  const rows = refDispatch(
    inputs.map((input) => arriving(input, one)),
    one.shape,
    rank,
  );
  expect(recv.numRecvTokens).to.equal(rows.length);
  expect([...recv.recvX]).to.deep.equal(rows.flatMap((row) => row.x));
  expect([...recv.recvTopkIdx]).to.deep.equal(rows.flatMap((row) => row.slots));
  const weights = one.reduce === 'rank' ? rows.flatMap((row) => row.weights) : [];
  expect([...recv.recvTopkWeights]).to.deep.equal(weights);
}

/** y of one rank, with the wire's rounding where rows travel. */
export function expectedOutput(input: RefInput, one: NodesCase): Float32Array {
  const { shape, ranksPerNode, reduce, wire } = one;
  const round: RefRound = (row) => {
    const out = new Float32Array(shape.hidden);
    roundTripRows(wire?.combine ?? 'f32', Float32Array.from(row), null, 1, shape.hidden, out, 0);
    return [...out];
  };
  const arrived = arriving(input, one);
  if (reduce === 'source') return refCombineSource(arrived, shape, round);
  const numNodes = shape.size / ranksPerNode;
  return refCombineRank(arrived, shape, {
    ranksPerNode,
    ...(ranksPerNode > 1 || numNodes === 1 ? { roundRank: round } : {}),
    ...(numNodes > 1 ? { roundNode: round } : {}),
  });
}

/** Inputs without the choices that a dead rank takes along: its own tokens, its experts, and what it relays. */
export function withoutRank(inputs: readonly RefInput[], dead: number, { shape, ranksPerNode }: NodesCase): RefInput[] {
  const nodeOf = (rank: number): number => Math.floor(rank / ranksPerNode);
  return inputs.map((input, rank) => {
    if (rank === dead) return { x: new Float32Array(0), topkIdx: new Int32Array(0), topkWeights: new Float32Array(0) };
    const isBehind = nodeOf(rank) !== nodeOf(dead) && rank % ranksPerNode === dead % ranksPerNode;
    const topkIdx = input.topkIdx.map((expert) => {
      const holder = Math.floor(expert / shape.slotsPerRank);
      return holder === dead || (isBehind && expert >= 0 && nodeOf(holder) === nodeOf(dead)) ? -1 : expert;
    });
    return { ...input, topkIdx };
  });
}

/** Tokens whose choices differ. */
export function changedTokens(before: RefInput, after: RefInput, { numTopk }: RefShape): number[] {
  const changed = [...before.topkIdx.keys()].filter((i) => before.topkIdx[i] !== after.topkIdx[i]);
  return [...new Set(changed.map((i) => Math.floor(i / numTopk)))];
}

/** The options of one case. */
export function optionsOf({ ranksPerNode, reduce, wire }: NodesCase, route: 'flat' | 'hierarchical' = 'hierarchical') {
  return { reduce, topology: { ranksPerNode, route }, ...(wire === undefined ? {} : { wire }) };
}
