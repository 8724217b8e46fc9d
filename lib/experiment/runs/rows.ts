/** Lines of `results.jsonl`. Pure. */
import { jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import { ExperimentError } from '../base/errors.js';
import type { Experiment } from '../base/experiment.js';
import type { PlannedRun, ResultRow, RunEnd, RunEnvironment, RunTimes } from '../base/run.js';
import { RESULT_ROW } from './schemas.js';

/** What the table has of a run. `environment`: of a process that left none. */
export function rowOf(
  experiment: Pick<Experiment, 'name' | 'metrics'>,
  run: PlannedRun,
  end: RunEnd,
  { startedAt, durationMs }: RunTimes,
  environment: RunEnvironment,
): ResultRow {
  const { id, index, point, round, seed, repeat, config, workload, measure, warmup } = run;
  const result = end.status === 'ok' ? end.result : null;
  const units = Object.entries(experiment.metrics).map(([name, { unit }]) => [name, unit] as const);
  const { commit, versions, machine } = result?.environment ?? environment;
  return {
    ...{ experiment: experiment.name, id, index, point, round, seed, repeat },
    status: end.status,
    error: end.status === 'ok' ? null : end.error,
    metrics: result?.metrics ?? {},
    units: Object.fromEntries(units),
    backend: result?.backend ?? null,
    started_at: startedAt.toISOString(),
    duration_ms: rounded(durationMs),
    overhead_ms: result === null ? null : rounded(Math.max(0, durationMs - result.measureMs)),
    ...{ commit, versions, machine, config, workload, measure, warmup },
  };
}

const rounded = (ms: number): number => Math.round(10 * ms) / 10;

/** With its end. */
export const lineOf = (row: ResultRow): string => `${JSON.stringify(row)}\n`;

/**
 * The rows of a file, the last one of each run, in the order of the file. What stands last may have been cut off when the machine went down, and is passed over.
 *
 * @throws ExperimentError BROKEN_RESULTS for another line that can't be read
 */
export function parseRows(path: string, text: string): readonly ResultRow[] {
  const lines = text.split('\n');
  const rows = lines.map((line) => RESULT_ROW.safeParse(jsonOrUndefined(line)));
  const isEmpty = (line: string | undefined): boolean => line?.replaceAll('\0', '').trim() === '';
  // What a line that was cut off lacks first is its end: a last line without one doesn't count, whatever it says.
  let num = lines.length - 1;
  if (isEmpty(lines[num])) while (num > 0 && isEmpty(lines[num - 1])) num--;
  const broken = rows.findIndex(({ success }, i) => !success && !isEmpty(lines[i]) && i < num - 1);
  if (broken >= 0) throw brokenLine(path, broken + 1, lines[broken]!);
  // A row was checked as a run before it became one.
  const whole = rows.slice(0, num).flatMap(({ data }) => (data === undefined ? [] : [data as unknown as ResultRow]));
  return [...new Map(whole.map((row) => [row.id, row])).values()];
}

function brokenLine(path: string, number: number, line: string): ExperimentError {
  const start = printable(line, MAX_LINE_CHARS);
  return new ExperimentError(
    'BROKEN_RESULTS',
    `line ${number} of ${printable(path, MAX_PATH_CHARS)} can't be read ("${start}"); delete the line: what it said is taken from the run's folder, or measured again`,
  );
}

const MAX_LINE_CHARS = 60;
const MAX_PATH_CHARS = 500;

/** What a folder's rows are to a plan. */
export interface FoundRows {
  /** Of runs of the plan, with the place in it that they have now. */
  readonly rows: readonly ResultRow[];
  /** Of runs that the plan doesn't have. */
  readonly others: readonly ResultRow[];
}

/** Rows stay with their runs where a file grew: places change, what was measured doesn't. */
export function rowsOfPlan(rows: readonly ResultRow[], runs: readonly PlannedRun[], name: string): FoundRows {
  const runOf = new Map(runs.map((run) => [run.id, run]));
  return {
    rows: rows.flatMap((row) => {
      const run = runOf.get(row.id);
      return run === undefined ? [] : [{ ...row, experiment: name, index: run.index, round: run.round }];
    }),
    others: rows.filter(({ id }) => !runOf.has(id)),
  };
}
