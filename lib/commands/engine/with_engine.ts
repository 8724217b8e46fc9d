/** From the options of a command to an engine that runs, and to its end. */
import { randomBytes } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { causeText } from '../../../base/foreign_text.js';
import { MAX_RANKS } from '../../../base/ids.js';
import { worldFromEnv } from '../../../comm/job/world.js';
import type { RoutingObserver } from '../../../experts/load/load_recorder.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { scaleText } from '../../head/elastic/scale_text.js';
import { Engine } from '../../head/engine.js';
import type { ExpertsEvent } from '../../head/rebalancing/experts_event.js';
import type { OpenedModel } from '../../head/opened_model.js';
import { speedText } from '../../head/speeds/speed_events.js';
import type { Loss } from '../../head/step_loop.js';
import type { OnTimeline } from '../../job/job.js';
import { formatAddress, parseAddress } from '../base/address.js';
import { closing } from '../base/closing.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { MAX_TIMEOUT_S, wholeNumber } from '../base/numbers.js';
import { checkOutputs } from '../base/output_file.js';
import { SharedTerminal } from '../base/shared_terminal.js';
import { readSecret, SECRET_VARIABLE, type EngineArgs } from './engine_options.js';
import type { EngineStart } from './engine_start.js';
import { LoadProgress } from './load_progress.js';
import { withRecorder } from './recording.js';
import { TraceWriter } from './trace_writer.js';

/**
 * Runs `work` with a started engine, with a progress bar on a terminal while it loads, and ends the engine and its trace
 * whatever happens. Of several errors the first is thrown. Text that `work` streams goes through `terminal`, as the engine's warnings do.
 */
export async function withEngine(
  args: EngineArgs,
  start: EngineStart,
  model: OpenedModel,
  context: CommandContext,
  work: (engine: Engine, terminal: SharedTerminal) => Promise<void>,
  { hasLog = false, heads, ...files }: EngineCommand = {},
): Promise<void> {
  const { config } = start;
  await checkFiles(args, config, files);
  const trace = args.trace === undefined ? null : await TraceWriter.create(args.trace, config.comm.micro_batches);
  const run = async (observer: RoutingObserver | null): Promise<void> => {
    const terminal = new SharedTerminal(context);
    const engine = await startEngine(args, start, model, { trace, observer, terminal, hasLog, heads }, context);
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
  /** Ranks may outlive its head (`parallel.head_grace_ms`). Default: they end with it. */
  readonly heads?: Heads;
}

/** Where ranks look for their head, and what they know it by. */
export interface HeadPlace {
  readonly host: string;
  readonly port: number;
  readonly secret: string;
}

/** One head of a job after the other. */
export interface Heads {
  /** Where the one before was, whose ranks are taken over; null: ranks are started. */
  readonly before: HeadPlace | null;
  /** Told where this one is, before ranks look for it. */
  readonly remember: (place: HeadPlace) => Promise<void>;
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
  readonly heads: Heads | undefined;
}

async function startEngine(
  args: EngineArgs,
  { config: asked, ranks }: EngineStart,
  model: OpenedModel,
  { trace, observer, terminal, hasLog, heads }: Told,
  { stderr, env, signal }: CommandContext,
): Promise<Engine> {
  const numExternalRanks = wholeNumber('--wait-ranks', args.waitRanks, 0, MAX_RANKS) ?? 0;
  const joinTimeout = wholeNumber('--join-timeout', args.joinTimeout, 1, MAX_TIMEOUT_S);
  if (numExternalRanks > 0 && args.listen === undefined) {
    throw new UsageError('--wait-ranks needs --listen HOST:PORT, where those ranks can reach this machine');
  }
  const given = (await readSecret(args.secretFile, env)) ?? heads?.before?.secret;
  const config = heads === undefined ? withoutGrace(asked) : asked;
  const hasGrace = config.parallel.head_grace_ms > 0;
  const secret = given ?? (hasGrace ? randomBytes(32).toString('hex') : undefined);
  if (numExternalRanks > 0 && given === undefined) {
    throw new UsageError(`ranks of other machines need a job secret: set ${SECRET_VARIABLE} or give --secret-file`);
  }
  const world = worldFromEnv(env);
  const { before = null } = heads ?? {};
  const listen = args.listen === undefined ? (before ?? undefined) : parseAddress(args.listen);
  const remember = (place: HeadPlace): void =>
    void heads?.remember(place).catch((cause: unknown) => terminal.line(`warning: ${notKept(cause)}`));
  const progress = new LoadProgress(stderr, config.parallel.ranks + numExternalRanks);
  try {
    return await Engine.start({
      config,
      model,
      ranks,
      numExternalRanks,
      ...(listen !== undefined && { listen }),
      resume: heads !== undefined && heads.before !== null,
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
      onExperts: (event) => {
        const text = expertsNotice(event);
        if (text !== null && !hasLog) terminal.line(text);
      },
      onScale: (event) => {
        const text = event.kind === 'failed' ? `warning: ${event.error.message}` : scaleText(event);
        if (text !== null && !hasLog) terminal.line(text);
      },
      onSpeed: (event) => {
        if (!hasLog) terminal.line(`${event.kind === 'caught_up' ? '' : 'warning: '}${speedText(event)}`);
      },
      onListening: (address) => {
        if (hasGrace) remember({ ...address, secret: secret! });
        if (numExternalRanks === 0 && args.listen !== undefined)
          terminal.line(`ranks join at ${formatAddress(address)}`);
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

/** Only a server can take ranks over. */
const withoutGrace = (config: ExpertwireConfig): ExpertwireConfig => ({
  ...config,
  parallel: { ...config.parallel, head_grace_ms: 0 },
});

const notKept = (cause: unknown): string =>
  `where this head is can't be kept for serve --resume (${causeText(cause)}); give --listen and a secret for that`;

/** One line for a log; null: nothing that one has to know. */
function expertsNotice(event: ExpertsEvent): string | null {
  switch (event.kind) {
    case 'recovered':
      return `${event.numExperts} experts have new homes, after ${event.recoveryMs.toFixed(0)} ms`;
    case 'failed':
      return `warning: ${event.error.message}`;
    case 'spread':
      return null;
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
