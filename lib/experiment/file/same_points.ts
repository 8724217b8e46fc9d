/** Points that come to the same, though they are written differently. Pure. */
import { shown } from '../../../base/foreign_text.js';
import { errorAt, type OriginOf } from './checked_part.js';
import type { CheckedPoint, PointRun } from './point_run.js';
import type { PlannedRun } from '../base/run.js';
import { canonicalJson } from './run_id.js';

/** A point, with a value for each key, and what one of its seeds computes. */
export interface FilledPoint {
  readonly point: CheckedPoint['point'];
  readonly values: PlannedRun['point'];
  readonly run: PointRun;
}

/** Runs of such points would be known by the same id. @throws ConfigError with the lines of both */
export function checkDifferent(points: readonly FilledPoint[], originOf: OriginOf): void {
  const seen = new Map<string, FilledPoint>();
  for (const each of points) {
    const what = canonicalJson([each.values, each.run]);
    const before = seen.get(what);
    if (before !== undefined) {
      const line = originOf(placeOf(before)).line ?? '?';
      const text = `${shown(each.point.values)} is the same point as ${shown(before.point.values)} (line ${line}): what one of them sets is so without it; leave one out ("repeats" measures all points several times)`;
      throw errorAt(originOf, placeOf(each), 'INVALID_VALUE', text);
    }
    seen.set(what, each);
  }
}

/** What a point sets by hand is of more use than what all points have. */
const placeOf = ({ point: { places } }: FilledPoint): readonly PropertyKey[] =>
  Object.values(places).at(-1) ?? ['sweep'];
