/** `expertwire rank`: one rank that joins a head, or several of them on this machine. */
import { createInterface } from 'node:readline/promises';
import type { Argv } from 'yargs';
import { worldFromEnv } from '../../comm/world.js';
import { EngineError } from '../engine/errors.js';
import { LocalRanks, type RankExit } from '../engine/local_ranks.js';
import { runRank } from '../engine/rank_main.js';
import { parseAddress } from './address.js';
import { UsageError, type CommandContext } from './context.js';
import { readSecret, SECRET_VARIABLE } from './engine_options.js';

export interface RankArgs {
  readonly head: string;
  readonly rank?: number | undefined;
  readonly nproc?: number | undefined;
  readonly advertise?: string | undefined;
  readonly model?: string | undefined;
  readonly secretFile?: string | undefined;
  readonly joinTimeout?: number | undefined;
  readonly spawned?: boolean | undefined;
}

export function rankOptions<T>(yargs: Argv<T>): Argv<T & RankArgs> {
  return yargs
    .option('head', { type: 'string', demandOption: true, describe: 'HOST:PORT where the head listens' })
    .option('rank', { type: 'number', describe: 'rank number (default: the head gives one)' })
    .option('nproc', { type: 'number', describe: 'start this many ranks, numbered from --rank' })
    .option('advertise', { type: 'string', describe: 'address under which other ranks reach this machine' })
    .option('model', { type: 'string', describe: "model folder, where it isn't the head's path" })
    .option('secret-file', { type: 'string', describe: `file with the job secret (or ${SECRET_VARIABLE})` })
    .option('join-timeout', { type: 'number', describe: 'seconds to wait for head and peers', default: 60 })
    .option('spawned', { type: 'boolean', hidden: true });
}

export async function rank(args: RankArgs, context: CommandContext): Promise<void> {
  const parent = args.spawned === true ? watchParent(context) : null;
  try {
    await join(args, parent, context);
  } finally {
    parent?.close(); // an open standard input would keep this process alive
  }
}

async function join(args: RankArgs, parent: Parent | null, context: CommandContext): Promise<void> {
  const head = parseAddress(args.head);
  const secret = parent === null ? await readSecret(args.secretFile, context.env) : await parent.secret;
  if (secret === undefined) {
    throw new UsageError(`a rank needs the job's secret: set ${SECRET_VARIABLE} or give --secret-file`);
  }
  const signal = parent === null ? context.signal : parent.signal;
  if (args.nproc !== undefined && args.nproc !== 1) return runMany(args, args.nproc, secret, context);
  const number = args.rank ?? (parent !== null ? undefined : worldFromEnv(context.env)?.rank);
  await runRank({
    head,
    secret,
    signal,
    joinTimeoutMs: 1000 * (args.joinTimeout ?? 60),
    ...(number !== undefined && { rank: number }),
    ...(args.advertise !== undefined && { advertise: args.advertise }),
    ...(args.model !== undefined && { model: args.model }),
  });
}

interface Parent {
  readonly secret: Promise<string>;
  /** Aborted when the parent is gone. */
  readonly signal: AbortSignal;
  close(): void;
}

/** The parent writes the secret to our standard input; that it closes means that the parent is gone, or wants us to be. */
function watchParent({ stdin }: CommandContext): Parent {
  const gone = new AbortController();
  const lines = createInterface({ input: stdin });
  const secret = new Promise<string>((resolve, reject) => {
    lines.once('line', resolve);
    lines.once('close', () => {
      reject(new UsageError('--spawned is for ranks that another expertwire process starts'));
      gone.abort(new EngineError('HEAD_LOST', 'the process that started this rank is gone; start the job again'));
    });
  });
  secret.catch(() => undefined); // who never gets to ask for it isn't punished by an unhandled rejection
  return { secret, signal: gone.signal, close: () => lines.close() };
}

/** Starts ranks and watches them: the first that fails ends the others. */
async function runMany(
  args: RankArgs,
  count: number,
  secret: string,
  { stderr, signal }: CommandContext,
): Promise<void> {
  const forwarded = [
    ...(args.advertise === undefined ? [] : ['--advertise', args.advertise]),
    ...(args.model === undefined ? [] : ['--model', args.model]),
    ...(args.joinTimeout === undefined ? [] : ['--join-timeout', String(args.joinTimeout)]),
  ];
  const ranks = new LocalRanks({
    ranks: Array.from({ length: count }, (_, i) => (args.rank === undefined ? null : args.rank + i)),
    head: args.head,
    secret,
    args: forwarded,
    onLog: (number, line) => {
      if (!signal.aborted) stderr.write(`[rank ${number ?? '?'}] ${line}\n`);
    },
  });
  const stop = (): void => void ranks.close({ gracefully: false });
  signal.addEventListener('abort', stop, { once: true });
  const failed = await firstFailure(ranks.exits);
  await ranks.close({ gracefully: failed === null });
  if (failed !== null && !signal.aborted) throw exitError(failed);
}

/** The first exit that isn't a success, or null when all succeed. */
async function firstFailure(exits: readonly Promise<RankExit>[]): Promise<RankExit | null> {
  return new Promise((resolve) => {
    for (const exit of exits) void exit.then((end) => end.code !== 0 && resolve(end));
    void Promise.all(exits).then(() => resolve(null));
  });
}

function exitError({ rank, pid, code, signal }: RankExit): EngineError {
  const how = signal === null ? `ended with exit code ${code ?? '?'}` : `was killed by ${signal}`;
  return new EngineError('RANK_LOST', `rank ${rank ?? '?'} (process ${pid ?? '?'}) ${how}; its last words are above`);
}
