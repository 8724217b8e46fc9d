/** Which points are compared, and which runs of theirs. Pure. Why: docs/decisions/experiments.md#in-turns-and-compared-in-pairs */
import type { Axis, Experiment } from '../base/experiment.js';
import type { Json, Point } from '../base/run.js';

/** A point's name: equal for points that say the same, in whatever order of keys. */
export const pointKey = (point: Point): string =>
  JSON.stringify(
    Object.keys(point)
      .sort()
      .map((key) => [key, point[key]]),
  );

/** Which of two points comes first: by their values' places on the axes, the first axis first. */
export function comparePoints(a: Point, b: Point, axes: readonly Axis[]): number {
  for (const { key, values } of axes) {
    const place = (point: Point): number => values.findIndex((value) => isSame(value, point[key]));
    if (place(a) !== place(b)) return place(a) - place(b);
  }
  return 0;
}

/**
 * What a point is compared with: of `points` that have the values of `baseline`, the one that is otherwise like it. Where none is (points given by hand that differ in
 * several keys under one label), the one that differs from it in the fewest keys; null: none, or several such. A point that has the values itself is its own.
 */
export function baselineOf(point: Point, points: readonly Point[], baseline: Experiment['baseline']): Point | null {
  if (baseline === null) return null;
  const hasValues = (each: Point): boolean => Object.keys(baseline).every((key) => isSame(each[key], baseline[key]));
  if (hasValues(point)) return point;
  const distances = points.filter(hasValues).map((each) => ({ each, distance: distanceOf(point, each) }));
  const least = Math.min(...distances.map(({ distance }) => distance));
  const nearest = distances.filter(({ distance }) => distance === least);
  return nearest.length === 1 ? nearest[0]!.each : null;
}

/** Keys in which they differ; one that only one of them has is such. */
const distanceOf = (a: Point, b: Point): number =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => !isSame(a[key], b[key])).length;

const isSame = (a: Json | undefined, b: Json | undefined): boolean => JSON.stringify(a) === JSON.stringify(b);
