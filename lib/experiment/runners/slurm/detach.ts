/** All runs of an experiment as arrays one behind the other, and its report as a job behind them: nobody has to wait. */
import type { SlurmSettings } from '../../base/runner.js';
import { arrayScript, commandScript, reportArguments, sbatchArguments, type ArrayTask } from './array_script.js';
import { writeHanded } from './handed.js';
import type { Slurm } from './slurm.js';
import { submitted } from './submitting.js';

/** What is handed over. */
export interface Detached {
  readonly settings: SlurmSettings;
  /** Runs at a time. */
  readonly parallel: number;
  readonly slurm: Slurm;
  /** A program, and arguments that begin `expertwire measure --apart`. */
  readonly program: readonly string[];
  readonly graceMs: number;
  /** The command that makes the report, and the file for what it says. */
  readonly report: { readonly words: readonly string[]; readonly output: string };
  /** Default ten minutes. */
  readonly patienceMs?: number;
}

/** Numbers of jobs. */
export interface DetachedJobs {
  readonly arrays: readonly string[];
  readonly report: string;
}

/** Resolves when Slurm has all of it. @throws ExperimentError RUNNER_FAILED; what the file system throws */
export async function detach(tasks: readonly ArrayTask[], options: Detached): Promise<DetachedJobs> {
  const { settings, parallel: width, slurm, program: words, graceMs, report, patienceMs } = options;
  const patience = { eachMs: 1000 * settings.poll_s, patienceMs };
  const arrays: string[] = [];
  for (let from = 0; from < tasks.length; from += settings.max_array) {
    const own = tasks.slice(from, from + settings.max_array);
    const job = await submitted(slurm, patience, (name) => ({
      args: sbatchArguments(settings, name, own, { width, graceMs, after: arrays.slice(-1) }),
      script: arrayScript(own, { words, graceMs }),
    }));
    arrays.push(job);
    await Promise.all(own.map(({ folder }, index) => writeHanded(folder, { job, index })));
  }
  const reporting = await submitted(slurm, patience, (name) => ({
    args: reportArguments(settings, name, report.output, arrays),
    script: commandScript(report.words),
  }));
  return { arrays, report: reporting };
}
