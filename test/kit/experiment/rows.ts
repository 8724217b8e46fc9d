/** Rows of results, made by hand. */
import type { MetricInfo, Metrics } from '../../../lib/experiment/base/metric.js';
import type { Point, ResultRow } from '../../../lib/experiment/base/run.js';

/** A metric of each kind. */
export const METRICS: Readonly<Record<string, MetricInfo>> = {
  tokens_per_s: {
    unit: 'tokens/s',
    better: 'higher',
    kind: 'time',
    what: 'generated tokens / seconds from the first step to the last',
  },
  bytes_per_token: { unit: 'B/token', better: 'lower', kind: 'count', what: 'bytes dispatched and combined / tokens' },
  tokens_sha256: { unit: '', better: null, kind: 'text', what: 'SHA-256 of all generated tokens' },
};

/** A row that went well, but for what is given. Its id is what its point, seed and repeat say. */
export function rowOf(point: Point, metrics: Metrics, other: Partial<ResultRow> = {}): ResultRow {
  const { seed = 1, repeat = 0 } = other;
  return {
    id: `${JSON.stringify(point)} ${seed} ${repeat}`,
    index: 0,
    point,
    round: repeat,
    seed,
    repeat,
    config: {} as ResultRow['config'],
    workload: {},
    measure: { kind: 'generate' },
    warmup: 0,
    experiment: 'balance',
    status: 'ok',
    error: null,
    metrics,
    units: {},
    backend: 'wasm',
    commit: 'c0ffee',
    versions: { expertwire: '0.1.0', node: 'v22.0.0' },
    machine: { cpu: 'a processor', cores: 2 },
    started_at: '2026-01-01T00:00:00.000Z',
    duration_ms: 1000,
    overhead_ms: 200,
    ...other,
  };
}

/** A row of a run that failed. */
export const failedRow = (point: Point, other: Partial<ResultRow> = {}): ResultRow =>
  rowOf(
    point,
    {},
    {
      status: 'failed',
      error: { code: 'RUN_FAILED', message: 'RUN_FAILED: the process ended with 1; read log.txt' },
      ...other,
    },
  );
