/** `expertwire rank`: one rank that joins a head, or several of them on this machine. Why: docs/decisions/start.md#a-rank-is-a-child-of-its-command */
import { resolve } from 'node:path';
import type { Argv } from 'yargs';
import { MAX_RANKS } from '../../../base/ids.js';
import { worldFromEnv } from '../../../comm/job/world.js';
import { MAX_THREADS } from '../../../compute/wasm/threads/crew_words.js';
import { backendChoice, BACKEND_NAMES } from '../base/backend_option.js';
import { modelFolder } from '../../config/model_folder.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { parseModelName } from '../../hub/cache/model_name.js';
import { localSeats } from '../../rank/local_seat.js';
import { devicesFor, kernelsFor } from '../../rank/rank_place.js';
import { readTls } from '../../job/start/tls_files.js';
import { parseAddress } from '../base/address.js';
import { UsageError, type CommandContext } from '../base/context.js';
import { readSecret, SECRET_VARIABLE } from '../engine/engine_options.js';
import { MAX_TIMEOUT_S, wholeNumber } from '../base/numbers.js';
import { STANDARD_INPUT } from '../base/standard_input.js';
import { attachInput } from './attached_input.js';
import { superviseRanks } from './supervision.js';

/** The options of `rank` as yargs parses them. */
export interface RankArgs {
  readonly head: string;
  readonly rank?: number | undefined;
  readonly nproc?: number | undefined;
  readonly advertise?: string | undefined;
  readonly backend?: string | undefined;
  readonly threads?: number | undefined;
  readonly model?: string | undefined;
  readonly plugin?: readonly string[] | undefined;
  readonly secretFile?: string | undefined;
  readonly joinTimeout?: number | undefined;
  readonly restart?: boolean | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  readonly tlsCa?: string | undefined;
}

/** The head's machine may have to be set up first. */
const DEFAULT_JOIN_TIMEOUT_S = 600;

/** Adds the options of `rank` to a command line. */
export function rankOptions<T>(yargs: Argv<T>): Argv<T & RankArgs> {
  return yargs
    .option('head', { type: 'string', demandOption: true, describe: 'HOST:PORT where the head listens' })
    .option('rank', { type: 'number', describe: 'rank number (default: the head gives one)' })
    .option('nproc', { type: 'number', describe: 'start this many ranks, numbered from --rank' })
    .option('advertise', { type: 'string', describe: 'address under which other ranks reach this machine' })
    .option('model', {
      type: 'string',
      describe: "model folder or ORG/NAME that was pulled, where it isn't the head's",
    })
    .option('plugin', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: "a plug-in's file, where it isn't the head's path; given once for each, in the head's order",
    })
    .option('backend', { type: 'string', describe: `${BACKEND_NAMES}, on this machine (default: the head's)` })
    .option('threads', { type: 'number', describe: "threads that compute in each rank (default: the head's)" })
    .option('secret-file', {
      type: 'string',
      describe: `file with the job secret (or ${SECRET_VARIABLE}); -: a line of standard input, with which ranks end`,
    })
    .option('tls-cert', { type: 'string', describe: 'PEM certificate of this rank, where the job uses TLS' })
    .option('tls-key', { type: 'string', describe: 'its private key' })
    .option('tls-ca', { type: 'string', describe: "certificate of the job's authority, which signed the others'" })
    .option('join-timeout', { type: 'number', describe: `seconds to look for the head (${DEFAULT_JOIN_TIMEOUT_S})` })
    .option('restart', { type: 'boolean', describe: 'start a lost rank again, to join the running job as a new one' });
}

/**
 * Runs ranks until the job ends or the signal ends them.
 * @throws UsageError; EngineError RANK_LOST for the first that failed; ToldError where one alone failed and said why itself
 */
export async function rank(args: RankArgs, context: CommandContext): Promise<void> {
  if (args.secretFile !== STANDARD_INPUT)
    return runRanks(args, await readSecret(args.secretFile, context.env), context);
  const input = await attachInput(context.stdin, context.signal);
  const { secret, ended } = input;
  try {
    await runRanks(args, secret, { ...context, signal: AbortSignal.any([context.signal, ended]) });
    if (!context.signal.aborted) ended.throwIfAborted();
  } finally {
    input.close();
  }
}

async function runRanks(args: RankArgs, secret: string | undefined, context: CommandContext): Promise<void> {
  const nproc = wholeNumber('--nproc', args.nproc, 1, MAX_RANKS) ?? 1;
  const first = wholeNumber('--rank', args.rank, 0, MAX_RANKS - 1);
  const joinTimeout = wholeNumber('--join-timeout', args.joinTimeout, 1, MAX_TIMEOUT_S) ?? DEFAULT_JOIN_TIMEOUT_S;
  const backend = backendChoice(args.backend);
  const threads = wholeNumber('--threads', args.threads, 1, MAX_THREADS);
  if (secret === undefined) {
    throw new UsageError(`a rank needs the job's secret: set ${SECRET_VARIABLE} or give --secret-file`);
  }
  const { tlsCert: cert = null, tlsKey: key = null, tlsCa: ca = null } = args;
  const tls = await readTls({ cert, key, ca });
  const order = {
    head: parseAddress(args.head),
    secret,
    joinTimeoutMs: 1000 * joinTimeout,
    ...(args.advertise !== undefined && { advertise: args.advertise }),
    ...(args.model !== undefined && { model: folderOf(args.model, context.env) }),
    ...(args.plugin !== undefined && { plugins: args.plugin.map((path) => resolve(path)) }),
    ...(backend !== undefined && { backend }),
    ...(threads !== undefined && { threads }),
    ...(tls !== undefined && { tls }),
  };
  context.stderr.write(`joining the job at ${args.head}\n`);
  const world = worldFromEnv(context.env);
  const devices = await devicesFor(backend);
  const kernels = await kernelsFor(backend, undefined, {
    signal: context.signal,
    onNotice: (line) => context.stderr.write(`${line}\n`),
  });
  const places = localSeats(nproc, world).map((seat) => ({ seat, devices, kernels }));
  const number = nproc === 1 ? (first ?? world?.rank) : first;
  const hasLauncher = world !== undefined;
  await superviseRanks({ order, first: number, places, restart: args.restart ?? false, hasLauncher }, context);
}

/** A path that isn't there is told to the head, too; a name that isn't in the cache is a mistake of this command. @throws ConfigError NOT_FOUND */
const folderOf = (model: string, env: Environment): string =>
  parseModelName(model) === null ? model : modelFolder(model, { env });
