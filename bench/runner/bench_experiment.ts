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
  /** A run by the runner of this machine, without its row, and the same in line for a worker of this machine. */
  readonly local_ms: number;
  readonly queued_ms: number;
  /** queued − local: what the bus adds. */
  readonly queue_ms: number;
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
    local_ms: of(({ localMs }) => localMs),
    queued_ms: of(({ queuedMs }) => queuedMs),
    queue_ms: of(({ queuedMs, localMs }) => queuedMs - localMs),
  };
}

function report(
  { model, ranks, rounds, seed, bus, ...tokens }: Omit<RunnerOptions, 'json'>,
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
    ['a run by the runner of this machine, without its row', ms(figures.local_ms)],
    [`the same in line on ${bus ?? 'a bus of this process'}, for a worker here`, ms(figures.queued_ms)],
    ['  − the runner of this machine: the bus', ms(figures.queue_ms)],
  ];
  return (
    `${cpu}, ${cores} cores, ${memory}, Node ${node}; seed ${seed}\n` +
    `${model} on ${ranks} ${ranks === 1 ? 'rank' : 'ranks'}, ${tokens.promptWords} words, ${tokens.newTokens} tokens; wall time from start to end, medians of ${rounds} rounds in turns, differences of pairs\n\n` +
    `${table(rows)}\n`
  );
}
