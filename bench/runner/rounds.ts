/** The same tokens three ways, in turns: by the command, by the measure, and by the runner. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closing } from '../../lib/commands/base/closing.js';
import type { CommandContext } from '../../lib/commands/base/context.js';
import type { ExperimentPlan } from '../../lib/experiment/base/experiment.js';
import type { ResultRow, Runner } from '../../lib/experiment/base/run.js';
import { readExperiment } from '../../lib/experiment/file/read_experiment.js';
import { thisEnvironment } from '../../lib/experiment/runs/environment.js';
import { LocalRunner } from '../../lib/experiment/runs/local_runner.js';
import { runFolderOf } from '../../lib/experiment/runs/result_files.js';
import { ResultsFolder } from '../../lib/experiment/runs/results_folder.js';
import { runExperiment } from '../../lib/experiment/runs/run_experiment.js';
import { BenchError } from '../base/errors.js';
import type { RunnerOptions } from './options.js';
import { queuedSite } from './queued.js';

/** What one round took. */
export interface RunnerRound {
  readonly generateMs: number;
  readonly measureMs: number;
  readonly runMs: number;
  /** Of the row. */
  readonly overheadMs: number;
  /** By the runner of this machine alone, and in line for a worker of it. */
  readonly localMs: number;
  readonly queuedMs: number;
}

type Env = CommandContext['env'];

/** All rounds, each of which ends before the next begins. @throws BenchError PROCESS_DIED; the signal's reason */
export async function roundsOf(
  options: RunnerOptions,
  folder: string,
  env: Env,
  signal: AbortSignal,
): Promise<readonly RunnerRound[]> {
  const prompt = Array<string>(options.promptWords).fill('the').join(' ');
  const file = join(folder, 'experiment.yaml');
  await writeFile(file, JSON.stringify(fileOf(options, prompt))); // which is YAML too
  const plan = await readExperiment(file, { env });
  const results = await ResultsFolder.open(join(folder, 'results'), plan);
  const rounds: RunnerRound[] = [];
  const local = new LocalRunner({ env });
  const site = await queuedSite(options.bus, folder, options.model, env);
  const close = async (): Promise<void> => {
    await Promise.all([local.close(), site.close()]);
    await results.close();
  };
  await closing(close, async () => {
    for (const { id } of plan.runs) {
      const generateMs = await timed(generateArgs(options, prompt), env, signal);
      const { runMs, row } = await runOf(plan, id, results, env, signal);
      const measureMs = await timed(['measure', runFolderOf(results.path, id)], env, signal);
      const own = runFolderOf(results.path, id);
      const localMs = await runBy(local, own, plan, signal);
      const queuedMs = await runBy(site.runner, own, plan, signal);
      rounds.push({ generateMs, measureMs, runMs, overheadMs: row.overhead_ms!, localMs, queuedMs });
    }
  });
  return rounds;
}

const fileOf = ({ model, ranks, rounds, seed, newTokens }: RunnerOptions, prompt: string): object => ({
  name: 'overhead',
  base: { model, parallel: { ranks }, generate: { max_new_tokens: newTokens, ignore_eos: true } },
  workload: { prompts: [prompt] },
  measure: 'generate',
  seeds: [seed],
  repeats: rounds,
});

const generateArgs = ({ model, ranks, seed, newTokens }: RunnerOptions, prompt: string): readonly string[] => [
  ...['generate', '--model', model, '--ranks', `${ranks}`, '--prompt', prompt, '--json'],
  ...['--max-new-tokens', `${newTokens}`, '--seed', `${seed}`, '--set', 'generate.ignore_eos=true'],
];

async function runOf(
  plan: ExperimentPlan,
  id: string,
  results: ResultsFolder,
  env: Env,
  signal: AbortSignal,
): Promise<{ readonly runMs: number; readonly row: ResultRow }> {
  const runner = new LocalRunner({ env });
  const environment = await thisEnvironment();
  const beganMs = performance.now();
  await runExperiment(plan, { results, runner, environment, signal, isWanted: (run) => run.id === id });
  const runMs = performance.now() - beganMs;
  await runner.close();
  const row = results.rows.find((each) => each.id === id)!;
  if (row.error === null) return { runMs, row };
  throw new BenchError('PROCESS_DIED', `a run failed: ${row.error.message}`);
}

async function runBy(
  runner: Runner,
  folder: string,
  { experiment: { timeoutMs } }: ExperimentPlan,
  signal: AbortSignal,
): Promise<number> {
  const beganMs = performance.now();
  const end = await runner.run(folder, timeoutMs, signal);
  if (end.status === 'ok') return performance.now() - beganMs;
  throw new BenchError('PROCESS_DIED', `a run failed: ${end.error.message}`);
}

const PROGRAM = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));

/** From the start of `expertwire …` to its end. */
async function timed(args: readonly string[], env: Env, signal: AbortSignal): Promise<number> {
  const beganMs = performance.now();
  const child = spawn(process.execPath, ['--no-warnings', PROGRAM, ...args], {
    ...{ env, signal, killSignal: 'SIGTERM' as const },
    stdio: 'ignore',
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code === 0) return performance.now() - beganMs;
  throw new BenchError('PROCESS_DIED', `expertwire ${args[0]} ended with ${code}; run it by hand`);
}
