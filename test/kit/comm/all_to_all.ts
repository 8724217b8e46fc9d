/** Drives all ranks of an all-to-all in one process, with toy experts. */
import {
  createAllToAll,
  type AllToAll,
  type AllToAllOptions,
  type DispatchResult,
  type Mesh,
  type OnPeerLoss,
  type Reduce,
  type StepTag,
} from '../../../comm/index.js';
import { refExpert, type RefInput, type RefShape, type RefWire } from '../../refs/all_to_all_ref.js';

/** What came of one dispatch and combine on every rank. */
export interface RoundTrip {
  readonly received: readonly DispatchResult[];
  readonly y: readonly Float32Array[];
  readonly endpoints: readonly AllToAll[];
}

export function tagOf(step = 0, layer = 0, epoch = 0): StepTag {
  return { step, layer, microBatch: 0, epoch };
}

/** One all-to-all per mesh. */
export function endpointsOf(
  meshes: readonly Mesh[],
  { hidden, numTopk, slotsPerRank, wire = {}, ranksPerNode }: RefShape,
  reduce: Reduce,
  timeoutMs = 5000,
  options: Partial<AllToAllOptions> = {},
): AllToAll[] {
  const topology = ranksPerNode === undefined ? {} : { topology: { ranksPerNode, route: 'flat' } as const };
  const all = { hidden, numTopk, slotsPerRank, wire, ...topology, reduce, timeoutMs, ...options };
  return meshes.map((mesh) => createAllToAll(mesh, all));
}

/** One all-to-all per mesh, with any options. */
export function endpointsWith(
  meshes: readonly Mesh[],
  { hidden, numTopk, slotsPerRank }: RefShape,
  options: Partial<AllToAllOptions>,
): AllToAll[] {
  return meshes.map((mesh) => createAllToAll(mesh, { hidden, numTopk, slotsPerRank, ...options }));
}

/** Dispatch, toy experts and combine on all ranks at once. */
export async function roundTrip(
  meshes: readonly Mesh[],
  shape: RefShape,
  inputs: readonly RefInput[],
  reduce: Reduce,
  tag = tagOf(),
): Promise<RoundTrip> {
  return roundTripOf(endpointsOf(meshes, shape, reduce), shape, inputs, tag);
}

/** Likewise, with endpoints that may have been used before. */
export async function roundTripOf(
  endpoints: readonly AllToAll[],
  shape: RefShape,
  inputs: readonly RefInput[],
  tag = tagOf(),
): Promise<RoundTrip> {
  const received = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag })));
  const y = await Promise.all(
    endpoints.map((ep, rank) => ep.combine(runExperts(received[rank]!, rank, shape), received[rank]!.handle)),
  );
  return { received, y, endpoints };
}

/** The expert side of a rank: weighted sums per row, or one row per choice. */
export function runExperts(
  recv: DispatchResult,
  rank: number,
  { hidden, numTopk, slotsPerRank }: RefShape,
): Float32Array {
  const perChoice: number[][] = [];
  const perRow: number[][] = [];
  for (let n = 0; n < recv.numRecvTokens; n++) {
    const x = [...recv.recvX.subarray(n * hidden, (n + 1) * hidden)];
    let sum = new Array<number>(hidden).fill(0);
    for (let i = n * numTopk; i < (n + 1) * numTopk; i++) {
      if (recv.recvTopkIdx[i] === -1) continue;
      const row = refExpert(rank * slotsPerRank + recv.recvTopkIdx[i]!, x);
      perChoice.push(row);
      sum = sum.map((value, h) => Math.fround(value + (recv.recvTopkWeights[i] ?? 0) * row[h]!));
    }
    perRow.push(sum);
  }
  return Float32Array.from((recv.reduce === 'rank' ? perRow : perChoice).flat());
}

/** Reproducible numbers in [0, 1) (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Random tokens of one rank; `expertOf` draws a physical expert or −1. */
export function randomInput(
  numTokens: number,
  shape: RefShape,
  random: () => number,
  expertOf: () => number,
): RefInput {
  const numChoices = numTokens * shape.numTopk;
  return {
    x: Float32Array.from({ length: numTokens * shape.hidden }, () => random() * 4 - 2),
    topkIdx: Int32Array.from({ length: numChoices }, expertOf),
    topkWeights: Float32Array.from({ length: numChoices }, random),
  };
}

/** What a rank process of an exchange without a model is told. */
export interface ExchangeSetup extends RefShape {
  readonly rank: number;
  /** Tokens by rank. */
  readonly numTokens: readonly number[];
  readonly seed: number;
  readonly reduce: Reduce;
  readonly wire: RefWire;
  readonly onPeerLoss: OnPeerLoss;
  readonly timeoutMs: number;
}

/** The tokens of a rank: the same for whoever asks. */
export function inputOf({ seed, numTokens, ...shape }: ExchangeSetup, rank: number): RefInput {
  const random = randomOf(seed * 100 + rank);
  const numExperts = shape.size * shape.slotsPerRank;
  return randomInput(numTokens[rank]!, shape, random, () => Math.floor(random() * numExperts));
}

/** Equal where the values are the same bits: −0 is not 0. */
export const bits = (values: Float32Array): number[] => [...new Uint32Array(values.slice().buffer)];

/** Runs `body` on open meshes and closes them whatever happens. */
export async function withMeshes<T>(meshes: Mesh[], body: (meshes: Mesh[]) => Promise<T> | T): Promise<T> {
  try {
    return await body(meshes);
  } finally {
    await Promise.all(meshes.map((mesh) => mesh.close()));
  }
}
