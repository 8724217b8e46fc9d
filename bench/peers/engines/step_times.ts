/** How long a step of many sequences takes, from when their tokens came. Pure. */

/**
 * Milliseconds per step while all sequences decode: from the last one's first token, for as many steps as each of them made after that. `sequences`: when each token
 * of each came, at least two tokens after the last one's first.
 */
export function stepTimes(sequences: readonly (readonly number[])[]): number {
  const startMs = Math.max(...sequences.map(([first]) => first!));
  const after = sequences.map((times) => times.filter((atMs) => atMs > startMs));
  const numSteps = Math.min(...after.map((times) => times.length));
  return (Math.max(...after.map((times) => times[numSteps - 1]!)) - startMs) / numSteps;
}
