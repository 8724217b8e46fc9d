/** `expertwire bench experiment`: what the runner of experiments adds to a run. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommandContext } from '../../lib/commands/base/context.js';
import { closing } from '../../lib/commands/base/closing.js';
import { table } from '../../lib/metrics/charts.js';
import { median, thisMachine } from '../base/machine.js';
import { accepted } from '../base/options.js';
import { parseOptions, type RunnerOptions } from './options.js';
import { roundsOf, type RunnerRound } from './rounds.js';

/** Medians over rounds, in milliseconds. */
export interface RunnerFigures {
  /** `expertwire generate`, from its start to its end. */
  readonly generate_ms: number;
  /** `expertwire measure` of the run's folder, from its start to its end. */
  readonly measure_ms: number;
  /** A run of the experiment, from when it is next to when its row is on the disk. */
  readonly run_ms: number;
  /** run − measure: the runner alone. */
  readonly runner_ms: number;
  /** run − generate: the process of a measure beside that of the command. */
  readonly beside_generate_ms: number;
  /** As the row says it: process − measure, its start and its end. */
  readonly overhead_ms: number;
}

/** Runs it, and prints a table, or one JSON object. @throws UsageError; BenchError PROCESS_DIED */
export async function benchExperiment(args: readonly string[], { stdout, env, signal }: CommandContext): Promise<void> {
  const { json, ...options } = accepted(parseOptions(args));
  const folder = await mkdtemp(join(tmpdir(), 'expertwire-bench-'));
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const rounds = await closing(remove, () => roundsOf({ ...options, json }, folder, env, signal));
  const machine = thisMachine();
  const figures = figuresOf(rounds);
  stdout.write(json ? `${JSON.stringify({ machine, ...options, ...figures })}\n` : report(options, figures));
}

function figuresOf(rounds: readonly RunnerRound[]): RunnerFigures {
  const of = (value: (round: RunnerRound) => number): number => median(rounds.map(value));
  return {
    generate_ms: of(({ generateMs }) => generateMs),
    measure_ms: of(({ measureMs }) => measureMs),
    run_ms: of(({ runMs }) => runMs),
    runner_ms: of(({ runMs, measureMs }) => runMs - measureMs),
    beside_generate_ms: of(({ runMs, generateMs }) => runMs - generateMs),
    overhead_ms: of(({ overheadMs }) => overheadMs),
  };
}

function report(
  { model, ranks, rounds, seed, ...tokens }: Omit<RunnerOptions, 'json'>,
  figures: RunnerFigures,
): string {
  const { cpu, cores, memory, node } = thisMachine();
  const ms = (value: number): string => `${value.toFixed(0)} ms`;
  const rows = [
    ['expertwire generate, by hand', ms(figures.generate_ms)],
    ['expertwire measure, by hand', ms(figures.measure_ms)],
    ['a run of expertwire experiment', ms(figures.run_ms)],
    ['  − measure: the runner alone', ms(figures.runner_ms)],
    ['  − generate: all that an experiment adds', ms(figures.beside_generate_ms)],
    ['  process − measure, as its row says', ms(figures.overhead_ms)],
  ];
  return (
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}\n` +
    `${model} on ${ranks} ${ranks === 1 ? 'rank' : 'ranks'}, ${tokens.promptWords} words, ${tokens.newTokens} tokens; wall time from start to end, medians of ${rounds} rounds in turns, differences of pairs\n\n` +
    `${table(rows)}\n`
  );
}
