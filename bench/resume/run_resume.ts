/** A head that is killed while it streams, and the next one: until it serves, and until there is a token that there wasn't. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closing } from '../../lib/commands/base/closing.js';
import { jsonOrUndefined } from '../../base/foreign_text.js';
import type { JournalLine } from '../../lib/server/journal/journal_lines.js';
import { FIRST_TOKEN } from '../serve/load/prompt_maker.js';
import { median } from '../base/machine.js';
import type { ResumeOptions } from './options.js';
import { Served } from '../base/served.js';
import { readTokens } from './token_stream.js';

/** What becomes of the ranks of a head that dies. */
export const WAYS = ['kept', 'started anew'] as const;
type Way = (typeof WAYS)[number];

/** Of the request that is cut off. */
const ID = 'cut-off';
const GRACE_MS = 120_000;

/** Medians over the rounds of one way. */
export interface ResumeRow {
  readonly ranks: Way;
  readonly serving_ms: number;
  readonly next_token_ms: number;
  readonly identical: number;
  readonly rounds: number;
}

/** One death. */
interface Death {
  readonly servingMs: number;
  readonly nextTokenMs: number;
  readonly isIdentical: boolean;
}

interface How {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** A row per way, in turns. @throws BenchError */
export async function runResume(options: ResumeOptions, how: How): Promise<ResumeRow[]> {
  const deaths = new Map<Way, Death[]>(WAYS.map((way) => [way, []]));
  for (let round = 0; round < options.rounds; round++)
    for (const way of WAYS) deaths.get(way)!.push(await withFolder((dir) => die(way, dir, options, how)));
  return [...deaths].map(([ranks, all]) => ({
    ranks,
    serving_ms: median(all.map(({ servingMs }) => servingMs)),
    next_token_ms: median(all.map(({ nextTokenMs }) => nextTokenMs)),
    identical: all.filter(({ isIdentical }) => isIdentical).length,
    rounds: all.length,
  }));
}

async function die(way: Way, dir: string, options: ResumeOptions, { env, signal }: How): Promise<Death> {
  const journal = join(dir, 'requests.jsonl');
  const args = argsOf(options, way, journal);
  const order = { command: 'serve', args, env: { ...env, HOME: dir }, signal } as const;
  const first = await Served.start(order);
  const { wanted, diedMs } = await closing(
    () => first.kill(),
    async () => {
      const ask = (more: object): Promise<Response> => complete(first.url, { ...bodyOf(options), ...more }, signal);
      const { tokenIds } = await readTokens(await ask({}));
      return { wanted: tokenIds, diedMs: await killedAt(first, await ask({ request_id: ID }), options.newTokens / 2) };
    },
  );
  const numKept = lastLength(await readFile(journal, 'utf8'));
  const next = await Served.start({ ...order, args: way === 'kept' ? [...args, '--resume'] : args });
  return closing(
    () => next.end(),
    async () => {
      const servingMs = performance.now() - diedMs;
      const again = await fetch(`${next.url}/v1/requests/${ID}?stream=true`, { signal });
      const { tokenIds, atMs } = await readTokens(again);
      const isIdentical = JSON.stringify(tokenIds) === JSON.stringify(wanted);
      return { servingMs, nextTokenMs: atMs[numKept]! - diedMs, isIdentical };
    },
  );
}

/** Kills a head when so many tokens of an answer came; returns when. */
async function killedAt(head: Served, answer: Response, numTokens: number): Promise<number> {
  let diedMs = Infinity;
  const reading = readTokens(answer, (count) => {
    if (count < numTokens || diedMs < Infinity) return;
    diedMs = performance.now();
    void head.kill();
  });
  await reading.catch((error: unknown) => {
    if (diedMs === Infinity) throw error;
  });
  return diedMs;
}

/** Tokens in a journal of the request that it speaks of last. */
export function lastLength(journal: string): number {
  const lines = journal.split('\n').map((line) => jsonOrUndefined(line) as JournalLine | undefined);
  const last = lines.findLast((line) => line?.kind === 'deltas')!;
  const { from, tokens } = last.deltas[0]!;
  return from + tokens.length;
}

const complete = (url: string, body: object, signal: AbortSignal): Promise<Response> => {
  const headers = { 'content-type': 'application/json' };
  return fetch(`${url}/v1/completions`, { method: 'POST', headers, body: JSON.stringify(body), signal });
};

/** Sampled, so that each token depends on all before it. */
const bodyOf = ({ promptTokens, newTokens, seed }: ResumeOptions): object => ({
  prompt: Array.from({ length: promptTokens }, (_, i) => FIRST_TOKEN + i),
  ...{ max_tokens: newTokens, ignore_eos: true, temperature: 0.9, seed, stream: true, return_token_ids: true },
});

function argsOf({ model, ranks, set }: ResumeOptions, way: Way, journal: string): string[] {
  const graceMs = way === 'kept' ? GRACE_MS : 0;
  const keys = ['comm.on_peer_loss=recover', 'comm.reduce=source', `parallel.head_grace_ms=${graceMs}`];
  const all = [...keys, `server.journal=${journal}`, ...set];
  return ['--model', model, '--ranks', String(ranks), ...all.flatMap((key) => ['--set', key])];
}

/** A home of its own: jobs and trials are kept there. */
async function withFolder<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'expertwire-bench-'));
  return closing(
    () => rm(dir, { recursive: true, force: true }),
    () => use(dir),
  );
}
