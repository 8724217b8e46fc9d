/** `expertwire scale`: more or fewer ranks for a job that serves. */
import type { Argv } from 'yargs';
import { printable } from '../../base/foreign_text.js';
import { MAX_RANKS } from '../../base/ids.js';
import { DEFAULTS } from '../config/schema.js';
import { DEFAULT_DRAIN_TIMEOUT_S, MAX_DRAIN_TIMEOUT_S } from '../server/elastic/scale_limits.js';
import { type CommandContext } from './base/context.js';
import { wholeNumber } from './base/numbers.js';
import { ServerConnection } from './chat/answers/server_connection.js';
import { API_KEY_VARIABLE, readApiKeys } from './serve/api_key_source.js';

/** The options of `scale` as yargs parses them. */
export interface ScaleArgs {
  readonly ranks: number;
  readonly url?: string | undefined;
  readonly apiKeyFile?: string | undefined;
  readonly timeout?: number | undefined;
  readonly json?: boolean | undefined;
}

const { host, port } = DEFAULTS.server;
const DEFAULT_URL = `http://${host}:${port}`;

/** Adds the number and the options of `scale` to a command line. */
export function scaleOptions<T>(yargs: Argv<T>): Argv<T & ScaleArgs> {
  return yargs
    .positional('ranks', { coerce: Number, demandOption: true, describe: 'how many ranks the job is to have' })
    .option('url', { type: 'string', describe: `of the server (${DEFAULT_URL})` })
    .option('api-key-file', { type: 'string', describe: `file with its API key (or ${API_KEY_VARIABLE})` })
    .option('timeout', { type: 'number', describe: `seconds for all of it, loading too (${DEFAULT_DRAIN_TIMEOUT_S})` })
    .option('json', { type: 'boolean', describe: 'one JSON object: what the server says' });
}

/** Prints what came of it. @throws UsageError; ChatError NO_SERVER, SERVER_REFUSED, ANSWER_BROKEN */
export async function scale(args: ScaleArgs, { stdout, env, signal }: CommandContext): Promise<void> {
  const numRanks = wholeNumber('the number of ranks', args.ranks, 1, MAX_RANKS)!;
  const timeoutS = wholeNumber('--timeout', args.timeout, 1, MAX_DRAIN_TIMEOUT_S) ?? DEFAULT_DRAIN_TIMEOUT_S;
  const keys = await readApiKeys(args.apiKeyFile, env);
  const server = new ServerConnection(args.url ?? DEFAULT_URL, keys[0], API_KEY_VARIABLE);
  const body = { new_data_parallel_size: numRanks, drain_timeout: timeoutS };
  // It stands beside the version of OpenAI's API.
  const answer = await server.json('POST', '../scale_elastic_ep', body, signal);
  stdout.write(`${args.json === true ? JSON.stringify(answer) : textOf(answer)}\n`);
}

/** Of our own servers; others say no more than a message. */
interface ScaledAnswer {
  readonly message: string;
  readonly ranks_before: number;
  readonly ranks: number;
  readonly joined: readonly number[];
  readonly left: readonly number[];
  readonly moved_experts: number;
  readonly moved_sequences: number;
  readonly recomputed: number;
  readonly ms: number;
  readonly first_ms: number | null;
}

function textOf(answer: unknown): string {
  const said = { joined: [], left: [], ...(answer as Partial<ScaledAnswer> | null) };
  if (said.ranks === undefined) return printable(said.message ?? 'scaled');
  const { ranks_before: before, ranks, joined, left, first_ms: firstMs, ms = 0 } = said;
  if (before === ranks && joined.length === 0) return `${ranksText(ranks)}, as before`;
  const parts = [
    `${before} → ${ranksText(ranks)}`,
    ...(joined.length === 0 ? [] : [`joined: ${joined.join(', ')}`]),
    ...(left.length === 0 ? [] : [`left: ${left.join(', ')}`]),
    `moved: ${said.moved_experts ?? 0} experts, ${said.moved_sequences ?? 0} sequences`,
    ...((said.recomputed ?? 0) > 0 ? [`computed anew: ${said.recomputed} sequences`] : []),
    ...(firstMs === null || firstMs === undefined ? [] : [`new size after ${seconds(firstMs)}`]),
    `all in place after ${seconds(ms)}`,
  ];
  return parts.join(' · ');
}

const ranksText = (count: number): string => `${count} ${count === 1 ? 'rank' : 'ranks'}`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
