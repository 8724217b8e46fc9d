/** Starts jobs under launchers, in turns, and takes the time until each prints its first token. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { median } from '../base/machine.js';
import { BenchError } from '../base/errors.js';
import { LAUNCHERS, type LauncherName } from './launchers.js';
import type { LaunchBenchOptions } from './options.js';

type Env = Readonly<Record<string, string | undefined>>;

/** Who starts, and who stops it. */
export interface LaunchHow {
  readonly env: Env;
  readonly signal: AbortSignal;
}

/** Of one launcher. */
export interface LaunchRow {
  readonly launcher: LauncherName;
  /** From the call of the launcher to the first token: median, lowest and highest of the rounds. */
  readonly first_token_ms: number;
  readonly lowest_ms: number;
  readonly highest_ms: number;
  /** Until the launcher itself has ended, median. */
  readonly ended_ms: number;
}

/** What was measured, and which launchers were not there, with what to do. */
export interface LaunchResult {
  readonly rows: readonly LaunchRow[];
  readonly missing: readonly string[];
}

interface Start {
  readonly firstMs: number;
  readonly endedMs: number;
}

const CLI = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));
/** Of what a job says last, for the report. */
const MAX_WORDS = 2048;

/** @throws BenchError PROCESS_DIED: a job failed, with its last words */
export async function runLaunch(options: LaunchBenchOptions, how: LaunchHow): Promise<LaunchResult> {
  const missing: string[] = [];
  const starts = new Map<LauncherName, Start[]>();
  for (const name of options.only) {
    if (await isThere(name, how)) starts.set(name, []);
    else missing.push(`${name}: ${LAUNCHERS[name].advice}`);
  }
  for (let round = 0; round < options.rounds; round++)
    for (const [name, all] of starts) all.push(await startOf(name, options, how));
  return { rows: [...starts].map(([name, all]) => rowOf(name, all)), missing };
}

function rowOf(launcher: LauncherName, starts: readonly Start[]): LaunchRow {
  const firsts = starts.map(({ firstMs }) => firstMs);
  return {
    launcher,
    first_token_ms: median(firsts),
    lowest_ms: Math.min(...firsts),
    highest_ms: Math.max(...firsts),
    ended_ms: median(starts.map(({ endedMs }) => endedMs)),
  };
}

async function isThere(name: LauncherName, { env, signal }: LaunchHow): Promise<boolean> {
  const { probe } = LAUNCHERS[name];
  if (probe === null) return true;
  const [program, ...args] = probe;
  return promisify(execFile)(program, args, { env: launcherEnv(env), signal, timeout: 10_000 }).then(
    () => true,
    () => false,
  );
}

async function startOf(name: LauncherName, options: LaunchBenchOptions, { env, signal }: LaunchHow): Promise<Start> {
  const { model, ranks, set } = options;
  const command = ['generate', '--model', model, '--prompt', 'It was', '--max-new-tokens', '4', '--ignore-eos'];
  const [program, ...args] = LAUNCHERS[name].words({
    ...{ ranks, port: await freePort(), program: [process.execPath, '--no-warnings', CLI] },
    command: [...command, ...set.flatMap((key) => ['--set', key])],
  });
  const startMs = performance.now();
  const child = spawn(program!, args, { env: launcherEnv(env), stdio: ['ignore', 'pipe', 'pipe'], signal });
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-MAX_WORDS)));
  let firstMs = NaN;
  child.stdout.once('data', () => (firstMs = performance.now() - startMs)).resume();
  const [code] = (await once(child, 'close')) as [number | null];
  if (code === 0 && !Number.isNaN(firstMs)) return { firstMs, endedMs: performance.now() - startMs };
  throw new BenchError('PROCESS_DIED', `a job under ${name} failed (${code}): ${words.trim()}`);
}

/** Open MPI wants to be told that it may run as root. */
const launcherEnv = (env: Env): Record<string, string | undefined> => ({
  ...{ EXPERTWIRE_JOB_SECRET: randomBytes(16).toString('hex') },
  ...{ OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
  ...env,
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
