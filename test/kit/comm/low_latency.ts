/** Drives all ranks of a low-latency all-to-all in one process, with toy experts. */
import {
  createLowLatencyAllToAll,
  type LowLatencyAllToAll,
  type LowLatencyOptions,
  type LowLatencyResult,
  type Mesh,
} from '../../../comm/index.js';
import { refExpert, type RefInput, type RefShape } from '../../refs/all_to_all_ref.js';
import { tagOf } from './all_to_all.js';

export interface PackedShape extends RefShape {
  readonly maxTokensPerRank: number;
}

/** One low-latency all-to-all per mesh. */
export function packedEndpointsOf(
  meshes: readonly Mesh[],
  { hidden, numTopk, slotsPerRank, maxTokensPerRank, wire }: PackedShape,
  options: Partial<LowLatencyOptions> = {},
): LowLatencyAllToAll[] {
  const shape = { hidden, numTopk, slotsPerRank, maxTokensPerRank, ...(wire === undefined ? {} : { wire }) };
  return meshes.map((mesh) => createLowLatencyAllToAll(mesh, { ...shape, timeoutMs: 5000, ...options }));
}

/** Dispatch, toy experts and combine on all ranks at once. */
export async function packedRoundTrip(
  endpoints: readonly LowLatencyAllToAll[],
  shape: PackedShape,
  inputs: readonly RefInput[],
  tag = tagOf(),
): Promise<{ received: LowLatencyResult[]; y: Float32Array[] }> {
  const received = await Promise.all(endpoints.map((ep, rank) => ep.dispatch({ ...inputs[rank]!, tag })));
  const y = await Promise.all(
    endpoints.map((ep, rank) => {
      const { handle } = received[rank]!;
      return ep.combine(runPackedExperts(received[rank]!, rank, shape), handle, inputs[rank]!.topkWeights);
    }),
  );
  return { received, y };
}

/** The expert side of a rank; rows that no source sent are NaN, so that reading one shows. */
export function runPackedExperts(
  recv: LowLatencyResult,
  rank: number,
  { size, hidden, slotsPerRank, maxTokensPerRank }: PackedShape,
): Float32Array {
  const out = new Float32Array(recv.recvX.length).fill(NaN);
  for (let slot = 0; slot < slotsPerRank; slot++) {
    for (let n = 0; n < recv.recvCount[slot]!; n++) {
      const at = (slot * size * maxTokensPerRank + n) * hidden;
      out.set(refExpert(rank * slotsPerRank + slot, [...recv.recvX.subarray(at, at + hidden)]), at);
    }
  }
  return out;
}

/** Per token `numTopk` different experts of `numExperts`, or −1 where `noneShare` or their number says so. */
export function distinctExperts(
  random: () => number,
  numTokens: number,
  numTopk: number,
  numExperts: number,
  noneShare = 0,
): Int32Array {
  const rows = Array.from({ length: numTokens }, () => {
    const left = Array.from({ length: numExperts }, (_, expert) => expert);
    return Array.from({ length: numTopk }, () => {
      if (random() < noneShare) return -1;
      return left.splice(Math.floor(random() * left.length), 1)[0] ?? -1;
    });
  });
  return Int32Array.from(rows.flat());
}
