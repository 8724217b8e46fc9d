/**
 * Between whole experts, which gates choose and people look at, and their slices, which ranks hold: slice s of S of expert e has the number e · S + s. With S = 1
 * nothing is copied. Pure. Shape suffixes: T tokens, K choices per token, L MoE layers, E experts.
 */
import { placementFrom, type Placement } from './placement.js';

/** [T·K·S] each choice as those of its expert's slices, next to each other; −1 stays −1. */
export function slicedChoices(topkIdx: Int32Array, numSlices: number): Int32Array {
  if (numSlices === 1) return topkIdx;
  const sliced = new Int32Array(topkIdx.length * numSlices).fill(-1);
  for (const [i, expert] of topkIdx.entries()) {
    if (expert < 0) continue;
    for (let s = 0; s < numSlices; s++) sliced[i * numSlices + s] = expert * numSlices + s;
  }
  return sliced;
}

/** [T·K·S] the weight of an expert is that of all its slices. */
export function slicedWeights(topkWeights: Float32Array, numSlices: number): Float32Array {
  if (numSlices === 1) return topkWeights;
  return Float32Array.from(
    { length: topkWeights.length * numSlices },
    (_, i) => topkWeights[Math.floor(i / numSlices)]!,
  );
}

/** [T·K] of physical slices [T·K·S] those of a choice that stand for it: its first, or −1 where some slice is nowhere. */
export function wholeChoices(physicalIdx: Int32Array, numSlices: number): Int32Array {
  if (numSlices === 1) return physicalIdx;
  return Int32Array.from({ length: physicalIdx.length / numSlices }, (_, i) => {
    const own = physicalIdx.subarray(i * numSlices, (i + 1) * numSlices);
    return own.includes(-1) ? -1 : own[0]!;
  });
}

/** Σ over the slices of each choice: [n·K·S·H] → [n·K·H]. */
export function summedSlices(outputs: Float32Array, hidden: number, numSlices: number): Float32Array {
  if (numSlices === 1) return outputs;
  const sums = new Float32Array(outputs.length / numSlices);
  for (let at = 0; at < sums.length; at += hidden) {
    for (let s = 0; s < numSlices; s++) {
      const from = at * numSlices + s * hidden;
      for (let h = 0; h < hidden; h++) sums[at + h]! += outputs[from + h]!;
    }
  }
  return sums;
}

/** [L][E·S] the load of an expert is that of each of its slices. */
export function slicedLoad<T extends ArrayLike<number>>(
  load_LE: readonly T[],
  numSlices: number,
): readonly (T | Float64Array)[] {
  if (numSlices === 1) return load_LE;
  return load_LE.map((load_E) =>
    Float64Array.from({ length: load_E.length * numSlices }, (_, i) => load_E[Math.floor(i / numSlices)]!),
  );
}

/** As people see it: slots that hold slices show their experts, so that a rank may show one twice. */
export function wholePlacement(placement: Placement, numSlices: number): Placement {
  if (numSlices === 1) return placement;
  const { version, numRanks, numExperts, phy2log } = placement;
  const whole = new Map(
    phy2log.map((table) => [table, table.map((slice) => Math.floor(slice / numSlices))]), // layers often share one
  );
  const tables = phy2log.map((table) => whole.get(table)!);
  return placementFrom(
    version,
    numRanks,
    numExperts.map((count) => count / numSlices),
    tables,
  );
}
