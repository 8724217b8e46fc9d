/** In which order points are measured. Pure. Why: docs/decisions/experiments.md#in-turns-and-compared-in-pairs */

/** One point, once. */
export interface Turn {
  /** Index of the point. */
  readonly point: number;
  readonly round: number;
  readonly seed: number;
  readonly repeat: number;
}

/** All repeats of a seed before the next seed; in a round all points, in every other one backwards. */
export function turnsOf(numPoints: number, seeds: readonly number[], repeats: number): readonly Turn[] {
  const rounds = seeds.flatMap((seed) => Array.from({ length: repeats }, (_, repeat) => ({ seed, repeat })));
  return rounds.flatMap(({ seed, repeat }, round) => {
    const points = Array.from({ length: numPoints }, (_, i) => (round % 2 === 0 ? i : numPoints - 1 - i));
    return points.map((point) => ({ point, round, seed, repeat }));
  });
}
