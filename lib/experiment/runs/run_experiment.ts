/** All runs of a plan that have no row yet. Why: docs/decisions/experiments.md#in-turns-and-compared-in-pairs */
import { causeText } from '../../../base/foreign_text.js';
import { isSystemError } from '../../../base/system_error.js';
import type { ExperimentPlan } from '../base/experiment.js';
import type { PlannedRun, ResultRow, RunEnd, RunEnvironment, Runner, RunTimes } from '../base/run.js';
import { finishedRun } from './finished_run.js';
import { notKept, type ResultsFolder } from './results_folder.js';
import { rowOf } from './rows.js';

/** What a run of an experiment is done with. */
export interface ExperimentRunOptions {
  readonly results: ResultsFolder;
  readonly runner: Runner;
  /** Of processes that leave none. */
  readonly environment: RunEnvironment;
  /** Which runs of the plan are to be done. Default: all. */
  readonly isWanted?: (run: PlannedRun) => boolean;
  /** Called when a run begins, and with its row when that is on the disk. */
  readonly onBegin?: (run: PlannedRun) => void;
  readonly onRow?: (row: ResultRow) => void;
  readonly signal: AbortSignal;
}

/**
 * Does them in the order of the plan, as many at a time as the runner does. A run that fails has a row that says so; what the disk doesn't take ends all.
 *
 * @throws `signal`'s reason; ExperimentError FOLDER_IN_USE, NOT_KEPT
 */
export async function runExperiment(plan: ExperimentPlan, options: ExperimentRunOptions): Promise<void> {
  const { results, runner, isWanted = (): boolean => true } = options;
  const left = plan.runs.filter((run) => !results.has(run) && isWanted(run));
  const failure = new AbortController();
  const signal = AbortSignal.any([options.signal, failure.signal]);
  const work = async (): Promise<void> => {
    for (let run = left.shift(); run !== undefined; run = left.shift()) {
      signal.throwIfAborted();
      await done(plan, run, { ...options, signal });
    }
  };
  const workers = Array.from({ length: Math.min(runner.width, left.length) }, () =>
    work().catch((error: unknown) => failure.abort(error)),
  );
  await Promise.all(workers);
  signal.throwIfAborted();
}

async function done({ experiment }: ExperimentPlan, run: PlannedRun, options: ExperimentRunOptions): Promise<void> {
  const { results, environment, onBegin, onRow } = options;
  onBegin?.(run);
  const { end, ...times } = (await finishedRun(results.path, run)) ?? (await ended(run, experiment.timeoutMs, options));
  const row = rowOf(experiment, run, end, times, environment);
  await results.add(row);
  onRow?.(row);
}

async function ended(
  run: PlannedRun,
  timeoutMs: number,
  { results, runner, signal }: ExperimentRunOptions,
): Promise<RunTimes & { readonly end: RunEnd }> {
  const folder = await results.prepare(run);
  const startedAt = new Date();
  const beganMs = performance.now();
  const end = await runner.run(folder, timeoutMs, signal).catch((error: unknown) => {
    throw isSystemError(error) ? notKept(folder, causeText(error), error) : error;
  });
  const durationMs = performance.now() - beganMs;
  if (end.status !== 'ok' && DISK_CODES.has(end.error.code)) throw notKept(folder, end.error.message);
  return { end, ...(end.times ?? { startedAt, durationMs }) };
}

/** What all the rest would meet too, so that it is no finding about a run. */
const DISK_CODES: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EROFS']);
