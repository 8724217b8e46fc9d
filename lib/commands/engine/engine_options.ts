/** Options of every command that starts an engine, and from them to a running one. */
import { isAbsolute } from 'node:path';
import { readFile } from 'node:fs/promises';
import type { Argv } from 'yargs';
import { causeText, textOf } from '../../../base/foreign_text.js';
import { MAX_RANKS } from '../../../base/ids.js';
import { worldFromEnv } from '../../../comm/job/world.js';
import type { RoutingObserver } from '../../../experts/load/load_recorder.js';
import { RECORD_MODES, type RecordMode } from '../../../experts/load/recording.js';
import { REPLICA_CHOICES } from '../../../experts/placement/replica_choice.js';
import { loadConfig, type PartialConfig } from '../../config/load.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { Engine } from '../../head/engine.js';
import type { Loss } from '../../head/step_loop.js';
import type { OnTimeline } from '../../job/job.js';
import type { OpenedModel } from '../../head/opened_model.js';
import { formatAddress, parseAddress } from '../base/address.js';
import { BACKEND_NAMES } from '../base/backend_option.js';
import { closing } from '../base/closing.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { LoadProgress } from './load_progress.js';
import { MAX_TIMEOUT_S, wholeNumber } from '../base/numbers.js';
import { checkOutputs } from '../base/output_file.js';
import { withRecorder } from './recording.js';
import { SharedTerminal } from '../base/shared_terminal.js';
import { TraceWriter } from './trace_writer.js';

/** The variable of the environment that may hold the job secret. */
export const SECRET_VARIABLE = 'EXPERTWIRE_JOB_SECRET';

/** The options of {@link engineOptions} as yargs parses them; undefined: not given. */
export interface EngineArgs {
  readonly config?: string | undefined;
  readonly model?: string | undefined;
  readonly ranks?: number | undefined;
  readonly backend?: string | undefined;
  readonly placement?: string | undefined;
  readonly numRedundantExperts?: number | undefined;
  readonly replicaChoice?: string | undefined;
  readonly reduce?: string | undefined;
  readonly set?: readonly string[] | undefined;
  readonly listen?: string | undefined;
  readonly waitRanks?: number | undefined;
  readonly advertise?: string | undefined;
  readonly joinTimeout?: number | undefined;
  readonly secretFile?: string | undefined;
  readonly trace?: string | undefined;
  readonly routing?: string | undefined;
  readonly record?: string | undefined;
  readonly recordMode?: RecordMode | undefined;
}

/** Adds the options that every command with an engine has. Defaults come from the configuration. */
export function engineOptions<T>(yargs: Argv<T>): Argv<T & EngineArgs> {
  return yargs
    .option('config', { type: 'string', describe: 'YAML configuration', group: 'Job:' })
    .option('model', { type: 'string', describe: 'model folder in Hugging Face layout', group: 'Job:' })
    .option('ranks', { type: 'number', describe: 'rank processes to start here (1)', group: 'Job:' })
    .option('backend', { type: 'string', describe: `${BACKEND_NAMES} (auto)`, group: 'Job:' })
    .option('placement', {
      type: 'string',
      describe: 'linear, round_robin, or a file that plan wrote (linear)',
      group: 'Job:',
    })
    .option('num-redundant-experts', {
      type: 'number',
      describe: 'further copies of experts, per layer over all ranks (0)',
      group: 'Job:',
    })
    .option('replica-choice', { type: 'string', describe: `${REPLICA_CHOICES.join(', ')} (balanced)`, group: 'Job:' })
    .option('reduce', { type: 'string', describe: 'rank, or source: bit-equal for any ranks (rank)', group: 'Job:' })
    .option('set', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'any configuration key: --set engine.mla=naive',
      group: 'Job:',
    })
    .option('listen', { type: 'string', describe: 'HOST:PORT where ranks of other machines join', group: 'Job:' })
    .option('wait-ranks', { type: 'number', describe: 'ranks of other machines to wait for', group: 'Job:' })
    .option('join-timeout', {
      type: 'number',
      describe: 'seconds without news while ranks join and load (600)',
      group: 'Job:',
    })
    .option('advertise', { type: 'string', describe: 'address of this machine for other ranks', group: 'Job:' })
    .option('secret-file', {
      type: 'string',
      describe: `file with the job secret (or ${SECRET_VARIABLE})`,
      group: 'Job:',
    })
    .option('trace', {
      type: 'string',
      describe:
        'Chrome trace of every rank: compute, dispatch, combine, experts that move (chrome://tracing, Perfetto)',
      group: 'Job:',
    })
    .option('routing', {
      type: 'string',
      describe: "an experiment: experts by a recording or synthetic load (zipf:1.0, …) instead of the gates' choice",
      group: 'Job:',
    })
    .option('record', {
      type: 'string',
      describe: 'record the load of the experts in this file (.jsonl.gz)',
      group: 'Output:',
    })
    .option('record-mode', {
      choices: RECORD_MODES,
      describe: 'sums per load_balance.window_size steps, one record per step, or the experts of each token (stat)',
      group: 'Output:',
    });
}

/** The configuration that file, flags and --set make together. */
export function configOf(args: EngineArgs, more: PartialConfig = {}): Promise<ExpertwireConfig> {
  const flags = {
    model: args.model,
    backend: args.backend,
    parallel: { ranks: args.ranks },
    experts: {
      placement: args.placement,
      num_redundant_experts: args.numRedundantExperts,
      replica_choice: args.replicaChoice,
      routing: args.routing,
    },
    comm: { reduce: args.reduce },
    ...more,
  } as PartialConfig; // values are checked by the schema
  return loadConfig({ file: args.config, flags, overrides: [...(args.set ?? [])] });
}

/**
 * Runs `work` with a started engine, with a progress bar on a terminal while it loads, and ends the engine and its trace
 * whatever happens. Of several errors the first is thrown. Text that `work` streams goes through `terminal`, as the engine's warnings do.
 */
export async function withEngine(
  args: EngineArgs,
  config: ExpertwireConfig,
  model: OpenedModel,
  context: CommandContext,
  work: (engine: Engine, terminal: SharedTerminal) => Promise<void>,
  { hasLog = false, ...files }: EngineCommand = {},
): Promise<void> {
  await checkFiles(args, config, files);
  const trace = args.trace === undefined ? null : await TraceWriter.create(args.trace, config.comm.micro_batches);
  const run = async (observer: RoutingObserver | null): Promise<void> => {
    const terminal = new SharedTerminal(context);
    const engine = await startEngine(args, config, model, { trace, observer, terminal, hasLog }, context);
    await closing(
      async () => {
        terminal.endLine(); // text that an error or Ctrl-C broke off
        await engine.close();
      },
      () => work(engine, terminal),
    );
  };
  const record = (): Promise<void> => withRecorder(args, config, model, context, run);
  await closing(async () => trace?.close(), record);
  if (trace !== null) context.stderr.write(`${trace.summary()}\n`);
}

/** Files of a command besides those that all commands with an engine have, by option: looked at before anything starts. */
export interface CommandFiles {
  readonly outputs?: Readonly<Record<string, string | undefined>>;
  /** None of them is written over. */
  readonly inputs?: Readonly<Record<string, string | undefined>>;
}

/** What else {@link withEngine} has to know of a command. */
export interface EngineCommand extends CommandFiles {
  /** It logs losses of ranks and what became of rebalances itself. Default: no, and lines tell of them. */
  readonly hasLog?: boolean;
}

/** @throws OutputError, UsageError: see checkOutputs */
export async function checkFiles(
  { trace, record, config: file }: EngineArgs,
  { experts }: ExpertwireConfig,
  { outputs = {}, inputs = {} }: CommandFiles,
): Promise<void> {
  const pathOf = (value: string): string | undefined => (isAbsolute(value) ? value : undefined); // or a name, such as linear
  await checkOutputs(
    { '--trace': trace, '--record': record, ...outputs },
    {
      ...{ '--config': file, '--routing': pathOf(experts.routing), '--placement': pathOf(experts.placement) },
      ...inputs,
    },
  );
}

/** Whom an engine tells what happens. */
interface Told {
  readonly trace: TraceWriter | null;
  readonly observer: RoutingObserver | null;
  readonly terminal: SharedTerminal;
  readonly hasLog: boolean;
}

async function startEngine(
  args: EngineArgs,
  config: ExpertwireConfig,
  model: OpenedModel,
  { trace, observer, terminal, hasLog }: Told,
  { stderr, env, signal }: CommandContext,
): Promise<Engine> {
  const numExternalRanks = wholeNumber('--wait-ranks', args.waitRanks, 0, MAX_RANKS) ?? 0;
  const joinTimeout = wholeNumber('--join-timeout', args.joinTimeout, 1, MAX_TIMEOUT_S);
  if (numExternalRanks > 0 && args.listen === undefined) {
    throw new UsageError('--wait-ranks needs --listen HOST:PORT, where those ranks can reach this machine');
  }
  const secret = await readSecret(args.secretFile, env);
  if (numExternalRanks > 0 && secret === undefined) {
    throw new UsageError(`ranks of other machines need a job secret: set ${SECRET_VARIABLE} or give --secret-file`);
  }
  const world = worldFromEnv(env);
  const progress = new LoadProgress(stderr, config.parallel.ranks + numExternalRanks);
  try {
    return await Engine.start({
      config,
      model,
      numExternalRanks,
      ...(args.listen !== undefined && { listen: parseAddress(args.listen) }),
      ...(args.advertise !== undefined && { advertise: args.advertise }),
      ...(secret !== undefined && { secret }),
      ...(world !== undefined && { world }),
      ...(joinTimeout !== undefined && { joinTimeoutMs: 1000 * joinTimeout }),
      ...(trace !== null && {
        onTimeline: (...step: Parameters<OnTimeline>) => trace.add(...step),
      }),
      ...(observer !== null && { observer }),
      onLoss: (loss) => {
        if (!hasLog) terminal.line(lossNotice(loss));
      },
      onRebalance: (event) => {
        if (event.kind === 'failed' && !hasLog) terminal.line(`warning: ${event.error.message}`);
      },
      onListening: (address) => {
        if (numExternalRanks === 0) return;
        const who = `${numExternalRanks} ${numExternalRanks === 1 ? 'rank' : 'ranks'}`;
        terminal.line(`waiting at ${formatAddress(address)} for ${who} of other machines`);
      },
      onNotice: (line) => terminal.line(`warning: ${line}`),
      onRefused: (error) => terminal.line(`a rank was turned away: ${error.message}`),
      onProgress: (rank, fraction) => progress.update(rank, fraction),
      onRankLog: (rank, line) => {
        // Ranks that are being ended complain about each other; that is no news to who pressed Ctrl-C.
        if (!signal.aborted) terminal.line(`[rank ${rank ?? '?'}] ${line}`);
      },
      signal,
    });
  } finally {
    progress.close();
  }
}

/** One line for a log. */
function lossNotice({ epoch, lost, abandonedStep, numRanksLeft, numRecomputed, numFailed }: Loss): string {
  const reasons = lost.map(({ error }) => error.reason).join('; ');
  const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? '' : 's'}`;
  const notes = [
    `warning: ${reasons}`,
    `epoch ${epoch} goes on with ${counted(numRanksLeft, 'rank')}`,
    ...(abandonedStep === null ? [] : [`step ${abandonedStep} runs again`]),
    ...(numRecomputed === 0 ? [] : [`the cache of ${counted(numRecomputed, 'sequence')} is computed anew`]),
    ...(numFailed === 0
      ? []
      : [`${counted(numFailed, 'request')} failed: a second rank was lost while it computed it`]),
  ];
  return notes.join('; ');
}

/** The job secret from a file or the environment; never from an argument, which every user of the machine can read. */
export async function readSecret(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  if (file === undefined) return env[SECRET_VARIABLE] === '' ? undefined : env[SECRET_VARIABLE];
  let secret: string;
  try {
    secret = textOf(await readFile(file)).trim();
  } catch (cause) {
    throw new UsageError(`--secret-file ${file} can't be read (${causeText(cause)})`);
  }
  if (secret === '') throw new UsageError(`--secret-file ${file} is empty; put a line of random characters into it`);
  return secret;
}
