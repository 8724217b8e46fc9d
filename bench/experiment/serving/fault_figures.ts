/** What kills came to. Pure. */
import type { Inflicted } from '../../chaos/inflict.js';
import type { JobWatch } from '../../chaos/watch.js';

/** Of one kill, in milliseconds from it; null: never while it was watched. */
export interface KillFigures {
  readonly rank: number;
  /** Of `performance.now()`. */
  readonly atMs: number;
  /** The job goes on without the rank. */
  readonly noticedMs: number | null;
  /** Each expert has a home. */
  readonly recoveredMs: number | null;
}

/** In their order. */
export function killFigures(
  kills: readonly Pick<Inflicted, 'victims' | 'start'>[],
  { losses, samples }: Pick<JobWatch, 'losses' | 'samples'>,
): KillFigures[] {
  return kills.map(({ victims, start: { atMs } }) => {
    const rank = victims![0]!;
    const loss = losses.find((each) => each.atMs >= atMs && each.ranks.includes(rank));
    const whole = loss && samples.find((sample) => sample.atMs >= loss.atMs && sample.numHomeless === 0);
    return {
      ...{ rank, atMs },
      noticedMs: loss === undefined ? null : loss.atMs - atMs,
      recoveredMs: whole === undefined ? null : whole.atMs - atMs,
    };
  });
}

/** Null without values, or where one is null. */
export function meanOfAll(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return null;
  return known.reduce((sum, value) => sum + value, 0) / known.length;
}
