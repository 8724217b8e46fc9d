/** Runs as a plan has them, measured in this process. */
import { runMeasure } from '../../../bench/index.js';
import type { MeasureContext, MeasureResult } from '../../../bench/experiment/base/measure.js';
import { MEASURES, type MeasureName } from '../../../lib/experiment/measures/measures.js';
import type { Json, PlannedRun } from '../../../lib/experiment/base/run.js';
import { loadConfig } from '../../../lib/config/load.js';
import { tinyModel } from '../paths.js';
import { withTempFolder } from '../temp_folder.js';

/** What of a run isn't as usual. */
export interface RunOptions {
  readonly workload?: Readonly<Record<string, unknown>>;
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Of `--set`. */
  readonly set?: readonly string[];
  readonly seed?: number;
  readonly warmup?: number;
}

type Settings = Readonly<Record<string, Json>>;

/** Of a model that tests make in no time, with defaults where nothing is said. */
export async function plannedRun(kind: MeasureName, options: RunOptions = {}): Promise<PlannedRun> {
  const { workload = {}, settings = {}, set = [], seed = 1, warmup = 0 } = options;
  const info = MEASURES[kind];
  return {
    ...{ id: '0123456789abcdef', index: 0, point: {}, round: 0, seed, repeat: 0, warmup },
    config: await loadConfig({ flags: { model: tinyModel('tiny-mixtral') }, overrides: set }),
    workload: info.workload.parse(workload) as Settings,
    measure: { ...(info.settings.parse(settings) as Settings), kind },
  };
}

/** What came of it, and lines of its log. */
export async function measured(
  run: PlannedRun,
): Promise<{ readonly result: MeasureResult; readonly log: readonly string[] }> {
  const log: string[] = [];
  const result = await withTempFolder((folder) => {
    const { signal } = new AbortController();
    const context: MeasureContext = { folder, env: {}, onNotice: (line) => void log.push(line), signal };
    return runMeasure(run, context);
  });
  return { result, log };
}

/** Metrics that a run done again has too. */
export function countsOf(run: PlannedRun, { metrics }: MeasureResult): MeasureResult['metrics'] {
  const infos = MEASURES[run.measure.kind as MeasureName].metricsOf(run.measure as never);
  return Object.fromEntries(Object.entries(metrics).filter(([name]) => infos[name]!.kind !== 'time'));
}
