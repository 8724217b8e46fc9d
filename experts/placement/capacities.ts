/** How fast ranks are, beside each other: what each computes in the same time. Pure. Shape suffix: R ranks. */

/** [R] in units of their mean; all 1, to the bit, where ranks are alike, or nobody says. */
export function relativeCapacities(capacities: ArrayLike<number> | undefined, numRanks: number): Float64Array {
  const given = Float64Array.from(capacities ?? []);
  if (isAlike(given)) return new Float64Array(numRanks).fill(1);
  const mean = given.reduce((a, b) => a + b, 0) / numRanks;
  return given.map((capacity) => capacity / mean);
}

/** Whether no rank is faster than another. */
export const isAlike = (capacities: ArrayLike<number>): boolean =>
  Array.from(capacities).every((capacity) => capacity === capacities[0]);
