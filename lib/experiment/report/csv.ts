/** Results as tables for other tools: `results.csv` has a line per run, `summary.csv` one per point and metric. Pure. */
import { stringify } from 'csv-stringify/sync';
import type { Experiment } from '../base/experiment.js';
import type { Json, Point, ResultRow } from '../base/run.js';
import type { PointSummary, Spread } from '../summary/summary.js';

type Cell = string | number | null;
type CsvLine = Readonly<Record<string, Cell>>;

/** Every run that came to an end, failed ones too. Columns of axes have the keys of the file, those of metrics their names. */
export function resultsCsv(
  { axes, metrics }: Pick<Experiment, 'axes' | 'metrics'>,
  rows: readonly ResultRow[],
): string {
  const columns = [
    ...['id', 'experiment', 'index', 'round', 'seed', 'repeat'],
    ...axes.map(({ key }) => key),
    ...['status', ...Object.keys(metrics), 'duration_ms', 'overhead_ms', 'error'],
    ...['started_at', 'backend', 'commit', 'versions', 'machine'],
  ];
  const records = rows.map((row): CsvLine => ({
    ...pointCells(row.point),
    ...row.metrics,
    ...{
      id: row.id,
      experiment: row.experiment,
      index: row.index,
      round: row.round,
      seed: row.seed,
      repeat: row.repeat,
    },
    ...{
      status: row.status,
      duration_ms: row.duration_ms,
      overhead_ms: row.overhead_ms,
      error: row.error?.message ?? null,
    },
    ...{ started_at: row.started_at, backend: row.backend, commit: row.commit },
    versions: JSON.stringify(row.versions),
    machine: JSON.stringify(row.machine),
  }));
  return csv(columns, records);
}

/** A line for each number that a point measured. */
export function summaryCsv(
  { axes, metrics }: Pick<Experiment, 'axes' | 'metrics'>,
  points: readonly PointSummary[],
): string {
  const columns = [
    ...axes.map(({ key }) => key),
    ...['is_baseline', 'num_ok', 'num_failed', 'metric', 'unit', 'kind', 'better'],
    ...['n', 'mean', 'stdev', 'ci_low', 'ci_high', 'min', 'max'],
    ...['ratio_n', 'ratio', 'ratio_ci_low', 'ratio_ci_high'],
  ];
  const records = points.flatMap((point) =>
    Object.entries(metrics).flatMap(([metric, { unit, kind, better }]): CsvLine[] => {
      const spread = point.metrics[metric];
      if (spread === undefined) return [];
      const { isBaseline, numOk, numFailed } = point;
      return [
        {
          ...pointCells(point.point),
          ...{ is_baseline: isBaseline ? 1 : 0, num_ok: numOk, num_failed: numFailed, metric, unit, kind, better },
          ...spreadCells(spread),
          ...ratioCells(point.ratios[metric]),
        },
      ];
    }),
  );
  return csv(columns, records);
}

/** Texts as they are, other values as JSON: 'bf16', '2', 'true', '[1,2]'. */
export const valueText = (value: Json | undefined): string =>
  value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value);

const pointCells = (point: Point): CsvLine =>
  Object.fromEntries(Object.entries(point).map(([key, value]) => [key, valueText(value)]));

const spreadCells = ({ n, mean, stdev, ci, min, max }: Spread): CsvLine => ({
  ...{ n, mean, stdev, min, max },
  ci_low: ci?.[0] ?? null,
  ci_high: ci?.[1] ?? null,
});

const ratioCells = (ratio: Spread | undefined): CsvLine =>
  ratio === undefined
    ? {}
    : {
        ratio_n: ratio.n,
        ratio: ratio.mean,
        ratio_ci_low: ratio.ci?.[0] ?? null,
        ratio_ci_high: ratio.ci?.[1] ?? null,
      };

/** RFC 4180, with a line of names first. */
const csv = (columns: readonly string[], records: readonly CsvLine[]): string =>
  stringify([...records], { header: true, columns: columns.map((key) => ({ key, header: key })) });
