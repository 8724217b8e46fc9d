/** The table of `bench scenarios`. Pure. */
import { table } from '../../lib/metrics/charts.js';
import type { Machine } from '../base/machine.js';
import type { Scenario } from './scenario_file.js';

/** One load against one configuration; null: nothing was measured. */
export interface ScenarioRow {
  readonly config: string;
  readonly load: string;
  readonly requests: number;
  readonly failed: number;
  readonly ttft_median_ms: number | null;
  /** The last of the load's percentiles: the 99th unless it says otherwise. */
  readonly ttft_p99_ms: number | null;
  readonly tpot_median_ms: number | null;
  readonly itl_p99_ms: number | null;
  readonly e2el_median_ms: number | null;
  readonly output_tokens_per_s: number;
  readonly goodput_per_s: number | null;
  /** Requests that met all targets of the load / all requests, refused and failed ones among them. */
  readonly good_share: number | null;
  /** Cached tokens / prompt tokens. */
  readonly cached_share: number | null;
  readonly client_is_late: boolean;
}

/** Machine, seed, loads and how to read the columns. */
export function header({ cpu, cores, memory, node }: Machine, seed: number, scenarios: readonly Scenario[]): string {
  return [
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}; the server is a process of its own on this machine`,
    ...scenarios.map(({ name, loadArgs }) => `  load ${name}: ${loadArgs.join(' ')}`),
    '  good = requests that meet all targets of their load / all requests; other figures: expertwire bench serve',
  ].join('\n');
}

/** Rows of one load stand together, so that configurations compare. */
export function scenarioTable(rows: readonly ScenarioRow[]): string {
  const loads = [...new Set(rows.map(({ load }) => load))];
  const head = [
    'load · configuration',
    'ttft p50',
    'p99',
    'tpot p50',
    'itl p99',
    'e2el p50',
    'tokens/s',
    'good',
    'cached',
    'failed',
  ];
  const lines = loads.flatMap((load) => rows.filter((row) => row.load === load).map(lineOf));
  const late = rows.some((row) => row.client_is_late)
    ? '\n* the client was late itself: what it measured may be its own delay'
    : '';
  return `${table([head, ...lines])}${late}`;
}

function lineOf(row: ScenarioRow): string[] {
  const ms = (value: number | null): string => (value === null ? '-' : value.toFixed(1));
  const share = (value: number | null): string => (value === null ? '-' : `${(100 * value).toFixed(0)} %`);
  return [
    `${row.load} · ${row.config}${row.client_is_late ? ' *' : ''}`,
    ms(row.ttft_median_ms),
    ms(row.ttft_p99_ms),
    ms(row.tpot_median_ms),
    ms(row.itl_p99_ms),
    ms(row.e2el_median_ms),
    row.output_tokens_per_s.toFixed(0),
    share(row.good_share),
    share(row.cached_share),
    String(row.failed),
  ];
}
