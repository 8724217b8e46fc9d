/** `expertwire experiment`: all runs of a file, a row for each, and a report of them. */
import { join, resolve } from 'node:path';
import { printable } from '../../../base/foreign_text.js';
import type { ExperimentPlan } from '../../experiment/base/experiment.js';
import type { ResultRow, Runner } from '../../experiment/base/run.js';
import { planText } from '../../experiment/file/plan_text.js';
import { readExperiment } from '../../experiment/file/read_experiment.js';
import type { CheckRun } from '../../experiment/file/run_check.js';
import { thisEnvironment } from '../../experiment/runs/environment.js';
import { runFolderOf } from '../../experiment/runs/result_files.js';
import { keeping, readRows, ResultsFolder } from '../../experiment/runs/results_folder.js';
import { resultsOf } from '../../experiment/report/results.js';
import { readResults } from '../../experiment/runs/read_results.js';
import { REPORT_FILES, writeReport } from '../../experiment/report/write_report.js';
import { runExperiment } from '../../experiment/runs/run_experiment.js';
import { loadBenches } from '../base/benches.js';
import { closing } from '../base/closing.js';
import { ToldError, type CommandContext } from '../base/context.js';
import type { ExperimentArgs } from './experiment_options.js';
import { ExperimentProgress } from './experiment_progress.js';
import { collectorOf, givenRunner, runnerOf, type MakeRunner } from './make_runner.js';
import { onlyRuns } from './only.js';

/**
 * Does the runs that have no row yet, and writes the report. A run that fails ends nothing, but the command then fails in the end.
 *
 * @throws ConfigError for whatever is wrong with the file; UsageError; ExperimentError; ToldError for runs that failed
 */
export async function experiment(
  args: ExperimentArgs,
  context: CommandContext,
  makeRunner: MakeRunner = runnerOf,
): Promise<void> {
  const { env, stdout } = context;
  const { file, output, dryRun: isDryRun = false, retryFailed = false, only, runner, detach, collect } = args;
  const { checkMeasure } = await loadBenches<{ readonly checkMeasure: CheckRun }>();
  const plan = await readExperiment(file, { env, checkRun: checkMeasure, runner: givenRunner(runner) });
  const folder = resolve(output ?? join('experiments', plan.experiment.name));
  const isWanted = onlyRuns(only, plan.runs);
  const wantedPlan = { ...plan, runs: plan.runs.filter(isWanted) };
  const wanted = new Set(wantedPlan.runs.map(({ id }) => id));
  const isKept = ({ id, status }: ResultRow): boolean => status === 'ok' || !retryFailed || !wanted.has(id);
  if (isDryRun) {
    stdout.write(planText(wantedPlan, (await readRows(folder)).filter(isKept)));
    return;
  }
  const results = await ResultsFolder.open(folder, plan, isKept);
  await closing(
    () => results.close(),
    async () => {
      if (detach === true) {
        const { detached } = await import('./detached.js');
        return detached(wantedPlan, results, args, context);
      }
      const make = collect === true ? collectorOf : makeRunner;
      return runAll(wantedPlan, results, await make(plan, context, results.path), context);
    },
  );
}

/** `plan`: with the runs that are wanted. */
async function runAll(
  plan: ExperimentPlan,
  results: ResultsFolder,
  runner: Runner,
  context: CommandContext,
): Promise<void> {
  const { signal, stderr, stdout } = context;
  const progress = new ExperimentProgress(stderr, plan, () => results.rows);
  const environment = await thisEnvironment();
  const end = async (): Promise<void> => {
    progress.close();
    await runner.close();
    if (signal.aborted) stderr.write(`${restText(plan, results)}\n`);
  };
  await closing(end, () =>
    runExperiment(plan, {
      ...{ results, runner, environment, signal },
      onBegin: (run) => progress.begin(run),
      onRow: (row) => progress.done(row),
    }),
  );
  const { experiment, rows } = await readResults(results.path);
  await keeping(results.path, () => writeReport(results.path, resultsOf(experiment, rows)));
  stdout.write(`${join(results.path, REPORT_FILES.html)}\n`);
  tellFailures(plan, results, context);
}

const restText = ({ runs }: ExperimentPlan, results: ResultsFolder): string =>
  `${runs.filter((run) => results.has(run)).length} of ${runs.length} runs are done; the same command goes on there`;

/** @throws ToldError where any did */
function tellFailures({ runs }: ExperimentPlan, results: ResultsFolder, { stderr }: CommandContext): void {
  const ids = new Set(runs.map(({ id }) => id));
  const failed = results.rows.filter(({ id, status }) => ids.has(id) && status !== 'ok');
  if (failed.length === 0) return;
  const first = failed[0]!.error!;
  const where = runFolderOf(results.path, failed[0]!.id);
  stderr.write(
    `expertwire: ${failed.length} of ${runs.length} runs failed, the first with ${first.code}: ${printable(first.message, MAX_ERROR_CHARS)} (${printable(where, MAX_ERROR_CHARS)}); --retry-failed does them again\n`,
  );
  throw new ToldError();
}

const MAX_ERROR_CHARS = 500;
