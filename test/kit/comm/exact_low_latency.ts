/** What dispatch and combine of the low-latency mode must give, against the reference, bit for bit. */
import { expect } from 'chai';
import type { LowLatencyResult, Mesh, WireDtype } from '../../../comm/index.js';
import { bits, tagOf } from './all_to_all.js';
import { distinctExperts, packedEndpointsOf, packedRoundTrip, type PackedShape } from './low_latency.js';
import { refCombineSource, type RefInput } from '../../refs/all_to_all_ref.js';
import { refPackedCounts, refPackedDispatch } from '../../refs/low_latency_ref.js';
import { randomValues } from '../../refs/random.js';

/** Random tokens whose choices name different experts among the first `numExperts`. */
export function inputOf(
  numTokens: number,
  { hidden, numTopk }: PackedShape,
  random: () => number,
  numExperts: number,
  noneShare = 0,
): RefInput {
  return {
    x: randomValues(random, numTokens * hidden, 2),
    topkIdx: distinctExperts(random, numTokens, numTopk, numExperts, noneShare),
    topkWeights: Float32Array.from({ length: numTokens * numTopk }, random),
  };
}

/** The rows that arrived, per local expert. */
export function rowsOf(
  { recvX, recvCount }: LowLatencyResult,
  { hidden, size, maxTokensPerRank }: PackedShape,
): number[][][] {
  const stride = size * maxTokensPerRank * hidden;
  return [...recvCount].map((count, slot) =>
    Array.from({ length: count }, (_, n) => {
      const at = slot * stride + n * hidden;
      return [...recvX.subarray(at, at + hidden)];
    }),
  );
}

/** A rank received the rows and counts of the reference, and knows their sources. */
export function expectReceived(
  recv: LowLatencyResult,
  shape: PackedShape,
  inputs: readonly RefInput[],
  rank: number,
): void {
  const expected = refPackedDispatch(inputs, shape, rank);
  expect([...recv.recvCount]).to.deep.equal(expected.map((rows) => rows.length));
  expect(rowsOf(recv, shape)).to.deep.equal(expected.map((rows) => rows.map((row) => row.x)));
  const sources = [...recv.recvCount].map((_, slot) => {
    const width = shape.size + 1;
    const range = recv.recvLayoutRange.subarray(slot * width, (slot + 1) * width);
    return inputs.flatMap((_input, source) => new Array<number>(range[source + 1]! - range[source]!).fill(source));
  });
  expect(sources).to.deep.equal(expected.map((rows) => rows.map((row) => row.source)));
}

/** Everything a round trip promises, against the reference, bit for bit. */
export async function expectExact(
  meshes: Mesh[],
  shape: PackedShape,
  inputs: readonly RefInput[],
  step = 0,
): Promise<void> {
  const endpoints = packedEndpointsOf(meshes, shape);
  const { received, y } = await packedRoundTrip(endpoints, shape, inputs, tagOf(step));
  const { dispatch = 'f32', combine = 'f32' } = shape.wire ?? {};
  const counts = inputs.map((input) => refPackedCounts(input, shape));
  for (const [rank, recv] of received.entries()) {
    expectReceived(recv, shape, inputs, rank);
    expect(bits(y[rank]!)).to.deep.equal(bits(refCombineSource(inputs[rank]!, shape)));
    const owed = counts.map((count) => count.rows[rank]!);
    const sent = (frameBytes: (peer: number) => number): number[] =>
      meshes.map((_, peer) => (peer === rank ? 0 : frameBytes(peer)));
    const rowBytes = (dtype: WireDtype): number => {
      const scales = dtype === 'fp8' || dtype === 'int8' ? 4 * Math.ceil(shape.hidden / 128) : 0;
      return shape.hidden * { f32: 4, bf16: 2, fp8: 1, int8: 1 }[dtype] + scales;
    };
    expect(endpoints[rank]!.sentBytes()).to.deep.equal({
      dispatch: sent((peer) => 40 + counts[rank]!.rows[peer]! * (rowBytes(dispatch) + 2)),
      combine: sent((peer) => 40 + owed[peer]! * rowBytes(combine)),
    });
    const [first, second] = endpoints[rank]!.stats().traffic;
    expect(first).to.deep.include({ phase: 'dispatch', tokens: counts[rank]!.tokens, rows: counts[rank]!.rows });
    expect(second).to.deep.include({ phase: 'combine', tokens: owed, rows: owed });
  }
}

/** Of all values. */
export const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

/** DeepEP's measure of what an inexact dtype costs. */
export function calcDiff(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [x, y] = [Array.from(a, (v) => v + 1), Array.from(b, (v) => v + 1)];
  return 1 - (2 * sum(x.map((v, i) => v * y[i]!))) / sum(x.map((v, i) => v * v + y[i]! * y[i]!));
}
