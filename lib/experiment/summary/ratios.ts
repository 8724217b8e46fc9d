/** What pairs of runs say of a point. Pure. Why: docs/decisions/experiments.md#in-turns-and-compared-in-pairs */
import type { Experiment } from '../base/experiment.js';
import type { MetricInfo } from '../base/metric.js';
import type { ResultRow } from '../base/run.js';
import { drawnAnew, ratioSpreadOf } from './spread.js';
import type { NoRatio, PointSummary } from './summary.js';

/** Of one metric, in two runs of the same seed and repeat; null: the run didn't measure it. */
interface Pair {
  readonly seed: number;
  readonly own: number | null;
  readonly other: number | null;
}

/** The number that a run measured; null: none. */
export function numberOf({ status, metrics }: ResultRow, name: string): number | null {
  const value = status === 'ok' ? metrics[name] : null;
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}

/** Of each metric the geometric mean over pairs, or why there is none: a mean over those pairs alone in which both are positive would be one of the runs that went well. */
export function comparison(
  rows: readonly ResultRow[],
  others: readonly ResultRow[],
  metrics: Experiment['metrics'],
): Pick<PointSummary, 'ratios' | 'noRatios'> {
  const all = Object.entries(metrics).map(([name, info]) => ({ name, info, pairs: pairsOf(rows, others, name) }));
  const some = all.filter(({ pairs }) => pairs.length > 0);
  const isWhole = (pairs: readonly Pair[]): boolean => pairs.every((pair) => ratioOf(pair) !== null);
  return {
    ratios: Object.fromEntries(
      some.filter(({ pairs }) => isWhole(pairs)).map(({ name, info, pairs }) => [name, meanOf(pairs, info)]),
    ),
    noRatios: Object.fromEntries(
      some.filter(({ pairs }) => !isWhole(pairs)).map(({ name, pairs }) => [name, noRatioOf(pairs)]),
    ),
  };
}

/** The ratio of a row to its partner's of `others`, by metric: of those metrics that `names` has. */
export const ratiosOfRow = (
  row: ResultRow,
  others: readonly ResultRow[],
  names: readonly string[],
): Readonly<Record<string, number>> =>
  Object.fromEntries(
    names.flatMap((name) =>
      pairsOf([row], others, name).flatMap((pair) => {
        const ratio = ratioOf(pair);
        return ratio === null ? [] : [[name, ratio] as const];
      }),
    ),
  );

/** Of runs that both came to a result, one of which at least has the number. */
function pairsOf(rows: readonly ResultRow[], others: readonly ResultRow[], name: string): readonly Pair[] {
  return rows.flatMap((row) => {
    const partner = others.find(({ seed, repeat }) => seed === row.seed && repeat === row.repeat);
    if (partner?.status !== 'ok' || row.status !== 'ok') return [];
    const [own, other] = [numberOf(row, name), numberOf(partner, name)];
    return own === null && other === null ? [] : [{ seed: row.seed, own, other }];
  });
}

/** Null where one side has no number, or one that isn't positive. */
const ratioOf = ({ own, other }: Pair): number | null =>
  own !== null && other !== null && own > 0 && other > 0 ? own / other : null;

const meanOf = (pairs: readonly Pair[], { kind }: MetricInfo): PointSummary['ratios'][string] =>
  ratioSpreadOf(
    drawnAnew(
      pairs.map((pair) => ({ key: String(pair.seed), value: ratioOf(pair) })),
      kind,
    ),
  )!;

function noRatioOf(pairs: readonly Pair[]): NoRatio {
  const isPositive = (value: number | null): boolean => value !== null && value > 0;
  const kind = pairs.every(({ own, other }) => own === 0 && other === 0)
    ? 'both_zero'
    : pairs.every(({ own, other }) => own === 0 && isPositive(other))
      ? 'to_zero'
      : pairs.every(({ own, other }) => isPositive(own) && other === 0)
        ? 'from_zero'
        : 'some';
  return { kind, numPairs: pairs.length, numRatios: pairs.filter((pair) => ratioOf(pair) !== null).length };
}
