/** `expertwire measure`: one run of an experiment, of which its folder says all. Why: docs/decisions/experiments.md#a-run-is-a-process-with-two-files */
import { copyFile, mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Argv } from 'yargs';
import { CodedError } from '../../../base/coded_error.js';
import { isSystemError } from '../../../base/system_error.js';
import type { PlannedRun, RunResult } from '../../experiment/base/run.js';
import { thisEnvironment } from '../../experiment/runs/environment.js';
import {
  clearRun,
  readRun,
  RUN_FILES,
  writeError,
  writeResult,
  type RunError,
} from '../../experiment/runs/run_folder.js';
import { printedRun } from '../../experiment/runs/printed_files.js';
import { runLock } from '../../experiment/runs/run_lock.js';
import { table } from '../../metrics/charts.js';
import { loadBenches } from '../base/benches.js';
import { closing } from '../base/closing.js';
import type { CommandContext } from '../base/context.js';
import { OutputError } from '../base/output_file.js';

/** The options of `measure` as yargs parses them. */
export interface MeasureArgs {
  readonly folder: string;
  /** In a process of its own, whose end is written down: a runner of another machine started this. Default false. */
  readonly apart?: boolean | undefined;
  /** Of that process; default an hour. */
  readonly timeoutMs?: number | undefined;
  readonly graceMs?: number | undefined;
  /** A file with the run, which is taken into the folder first. */
  readonly from?: string | undefined;
  /** What the run leaves is printed in lines with this mark: its runner sees no folder. */
  readonly print?: string | undefined;
}

/** Adds the folder of `measure` to a command line. */
export function measureOptions<T>(yargs: Argv<T>): Argv<T & MeasureArgs> {
  return yargs
    .positional('folder', { type: 'string', demandOption: true, describe: 'of a run: runs/ID in the results' })
    .option('spawned', { type: 'boolean', hidden: true })
    .option('apart', { type: 'boolean', hidden: true })
    .option('timeout-ms', { type: 'number', hidden: true })
    .option('grace-ms', { type: 'number', hidden: true })
    .option('from', { type: 'string', hidden: true })
    .option('print', { type: 'string', hidden: true });
}

const HOUR_MS = 3_600_000;

/** What of the benchmarks is called. */
export interface Measuring {
  readonly runMeasure: (
    run: PlannedRun,
    context: {
      readonly folder: string;
      readonly env: CommandContext['env'];
      readonly onNotice: (line: string) => void;
      readonly signal: AbortSignal;
    },
  ) => Promise<Omit<RunResult, 'measureMs' | 'environment'>>;
}

/**
 * Does the run, writes `result.json`, or `error.json` for whoever started it, and prints what was measured.
 *
 * @throws ExperimentError; OutputError; whatever the measure throws
 */
export async function measure(
  { folder: given, apart = false, timeoutMs = HOUR_MS, graceMs, from, print }: MeasureArgs,
  context: CommandContext,
  load: () => Promise<Measuring> = loadBenches,
): Promise<void> {
  const folder = resolve(given);
  if (apart) {
    const { runApart } = await import('../../experiment/runs/apart.js');
    await runApart(folder, timeoutMs, context.signal, { env: context.env, ...(graceMs !== undefined && { graceMs }) });
    return;
  }
  if (from !== undefined) {
    await mkdir(folder, { recursive: true });
    await copyFile(from, join(folder, RUN_FILES.run));
  }
  await closing(
    () => (print === undefined ? Promise.resolve() : printRun(folder, print, context)),
    () => measureIn(folder, context, load),
  );
}

/** Of this process, from its start. */
async function printRun(folder: string, mark: string, { stdout }: CommandContext): Promise<void> {
  const times = { startedAt: new Date(performance.timeOrigin), durationMs: performance.now() };
  stdout.write(await printedRun(folder, times, mark));
}

async function measureIn(folder: string, context: CommandContext, load: () => Promise<Measuring>): Promise<void> {
  const run = await readRun(folder);
  const lock = await runLock(folder);
  await closing(
    () => lock.release(),
    () => measureInto(folder, run, context, load),
  );
}

async function measureInto(
  folder: string,
  run: PlannedRun,
  context: CommandContext,
  load: () => Promise<Measuring>,
): Promise<void> {
  const write = (name: string, work: Promise<void>): Promise<void> =>
    work.catch((cause: unknown) => {
      throw new OutputError(join(folder, name), cause);
    });
  await write(RUN_FILES.result, clearRun(folder));
  try {
    const result = await measured(run, folder, context, load);
    context.signal.throwIfAborted(); // it may be half of one
    await write(RUN_FILES.result, writeResult(folder, result));
    context.stdout.write(`${table(Object.entries(result.metrics).map(([name, value]) => [name, String(value)]))}\n`);
  } catch (error) {
    // A disk that takes no result may not take this either: then the log has it.
    if (!context.signal.aborted) await writeError(folder, runErrorOf(error)).catch(() => undefined);
    throw error;
  }
}

async function measured(
  run: PlannedRun,
  folder: string,
  { env, stderr, signal }: CommandContext,
  load: () => Promise<Measuring>,
): Promise<RunResult> {
  const environment = thisEnvironment();
  const files = join(folder, RUN_FILES.files);
  await mkdir(files);
  const end = async (): Promise<void> => {
    await environment; // it asks another process
    await rm(files, { recursive: true, force: true });
  };
  return closing(end, async () => {
    const { runMeasure } = await load();
    const onNotice = (line: string): void => void stderr.write(`${line}\n`);
    const beganMs = performance.now();
    const result = await runMeasure(run, { folder: files, env, onNotice, signal });
    return { ...result, measureMs: performance.now() - beganMs, environment: await environment };
  });
}

function runErrorOf(error: unknown): RunError {
  if (error instanceof OutputError && isSystemError(error.cause)) return runErrorOf(error.cause);
  const { code, text, message } = error as CodedError; // classes of the bundle aren't those of the benchmarks
  if (typeof code === 'string') return { code, message: typeof text === 'string' ? text : message };
  return { code: 'RUN_FAILED', message: error instanceof Error ? error.message : String(error) };
}
