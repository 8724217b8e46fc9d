/** `expertwire experiment --detach`: Slurm has all of it, and this command ends. */
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { printable } from '../../../base/foreign_text.js';
import { ExperimentError } from '../../experiment/base/errors.js';
import type { ExperimentPlan } from '../../experiment/base/experiment.js';
import type { PlannedRun } from '../../experiment/base/run.js';
import { detach } from '../../experiment/runners/slurm/detach.js';
import { handedTo } from '../../experiment/runners/slurm/handed.js';
import { SlurmCommands, type Slurm } from '../../experiment/runners/slurm/slurm.js';
import { APART, forgetLast } from '../../experiment/runners/slurm/slurm_runner.js';
import { isOver, taskText } from '../../experiment/runners/slurm/task_state.js';
import { runFolderOf } from '../../experiment/runs/result_files.js';
import type { ResultsFolder } from '../../experiment/runs/results_folder.js';
import { UsageError, type CommandContext } from '../base/context.js';
import type { ExperimentArgs } from './experiment_options.js';

const CLI = fileURLToPath(new URL('../../cli.js', import.meta.url));
const GRACE_MS = 5000;
const REPORT_LOG = 'slurm-report.txt';

/**
 * Hands over the plan's runs that have no row.
 * @throws UsageError where they run elsewhere; ExperimentError FOLDER_IN_USE, NOT_KEPT, RUNNER_FAILED
 */
export async function detached(
  plan: ExperimentPlan,
  results: ResultsFolder,
  args: Pick<ExperimentArgs, 'file' | 'only'>,
  { env, stdout }: Pick<CommandContext, 'env' | 'stdout'>,
  slurm: Slurm = new SlurmCommands(env),
): Promise<void> {
  const { runner: settings, experiment } = plan;
  if (settings.kind !== 'slurm') throw new UsageError('--detach hands runs to Slurm; give --runner slurm with it');
  const left = plan.runs.filter((run) => !results.has(run));
  if (left.length === 0) {
    stdout.write('all runs are done; expertwire report makes the report again\n');
    return;
  }
  await refuseHanded(left, results.path, slurm);
  const tasks: { readonly folder: string; readonly timeoutMs: number }[] = [];
  for (const run of left) {
    const folder = await results.prepare(run);
    await forgetLast(folder);
    tasks.push({ folder, timeoutMs: experiment.timeoutMs });
  }
  const node = [process.execPath, '--no-warnings'];
  const output = join(results.path, REPORT_LOG);
  const only = (args.only ?? []).flatMap((condition) => ['--only', condition]);
  const collect = ['experiment', resolve(args.file), '--output', results.path, '--runner', JSON.stringify(settings)];
  const { arrays, report } = await detach(tasks, {
    ...{ settings, parallel: experiment.parallel, slurm, program: [...node, ...APART], graceMs: GRACE_MS },
    report: { words: [...node, CLI, ...collect, '--collect', ...only], output },
  });
  const jobs = arrays.length === 1 ? `job ${arrays[0]}` : `jobs ${arrays.join(', ')}`;
  stdout.write(
    `${left.length} runs are ${jobs} of Slurm, and job ${report} behind makes the report (${printable(output)}); the same command without --detach waits for them\n`,
  );
}

/** Two tasks of a run would disturb each other. */
async function refuseHanded(runs: readonly PlannedRun[], path: string, slurm: Slurm): Promise<void> {
  const handed = await Promise.all(runs.map(({ id }) => handedTo(runFolderOf(path, id))));
  const tasks = handed.flatMap((task) => task ?? []);
  if (tasks.length === 0) return;
  const states = await slurm.states([...new Set(tasks.map(({ job }) => job))]);
  const there = tasks.find((task) => {
    const state = states.get(taskText(task));
    return state !== undefined && !isOver(state);
  });
  if (there === undefined) return;
  throw new ExperimentError(
    'FOLDER_IN_USE',
    `job ${there.job} of Slurm does runs of this experiment already; wait for it, or scancel ${there.job}`,
  );
}
