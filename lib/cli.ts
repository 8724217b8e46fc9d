#!/usr/bin/env node
/** The command line. The only file that touches the process: arguments, environment, signals, exit code. */
import { setMaxListeners } from 'node:events';
import { constants } from 'node:os';
import { inspect } from 'node:util';
import { printableLines } from '../base/foreign_text.js';
import { Interruption, type CommandContext } from './commands/base/context.js';
import { OutputError } from './commands/base/output_file.js';
import { enableCompileCache } from './compile_cache.js';
import type { StopHandler, StopTeller } from './rank/rank_service.js';
import type { SpawnedRankNews } from './rank/spawned_rank.js';

/** Of an error's message, which may hold what files and peers said. */
const MAX_MESSAGE_CHARS = 8000;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
/** As shells count: 130 after Ctrl-C, 143 after SIGTERM. */
const EXIT_SIGNAL = 128;
/** How long anything may keep this process when its work is done. */
const LINGER_MS = 1000;
/** Launchers send SIGTERM to a process and then to its group: so long two of them are one. */
const ECHO_MS = 1000;

const interrupted = new AbortController();
/** Asked first what Ctrl-C means. */
let interruptTaker: () => boolean = () => false;
/** Asked first what SIGTERM means to a rank that another process started. */
let terminationTaker: StopHandler = () => false;
/** When the first SIGTERM came. */
let terminatedMs: number | null = null;
setMaxListeners(0, interrupted.signal); // every request of a batch listens
const context: CommandContext = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  signal: interrupted.signal,
  takeInterrupts: (taker) => {
    interruptTaker = taker;
    return () => (interruptTaker = () => false);
  },
  obeyed: () => void (process.exitCode = 0),
  tellParent: (news) => {
    if (process.connected) process.send?.(news);
  },
  env: process.env,
};

function fail(error: unknown): void {
  if (interrupted.signal.aborted) return; // Ctrl-C ends what runs; that is no failure to report.
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof Error && error.name === 'ToldError'))
    process.stderr.write(`expertwire: ${printableLines(message, MAX_MESSAGE_CHARS)}\n`);
  process.exitCode = isUsageError(error) ? EXIT_USAGE : EXIT_FAILURE;
}

/** Mistakes that another call, configuration or prompt mends. Classes are known by their names: those of the bundle aren't those of the benchmarks. */
function isUsageError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { name, code } = error as NodeJS.ErrnoException;
  return USAGE_ERRORS.has(name) || (CODED_ERRORS.has(name) && USAGE_CODES.has(code ?? ''));
}

const USAGE_ERRORS: ReadonlySet<string> = new Set(['UsageError', 'ConfigError']);
const CODED_ERRORS: ReadonlySet<string> = new Set(['EngineError', 'TokenizerError']);
const USAGE_CODES: ReadonlySet<string> = new Set([
  'INVALID_REQUEST',
  'CONTEXT_LENGTH_EXCEEDED',
  'NO_TOKENIZER',
  'NO_CHAT_TEMPLATE',
  'NOT_ENCODABLE',
]);

/** Whether this SIGTERM is the first one, heard again. */
function isEcho(): boolean {
  if (terminatedMs !== null) return performance.now() - terminatedMs < ECHO_MS;
  terminatedMs = performance.now();
  return false;
}

/** The first signal lets the command end its ranks; a second one ends this process at once. */
function onSignal(signal: NodeJS.Signals): void {
  if (signal === 'SIGINT' && !interrupted.signal.aborted && interruptTaker()) return;
  if (signal === 'SIGTERM' && isEcho()) return;
  const exitCode = EXIT_SIGNAL + constants.signals[signal];
  if (interrupted.signal.aborted) process.exit(exitCode);
  process.exitCode = exitCode;
  interrupted.abort(new Interruption(signal));
}

const args = process.argv.slice(2);

const compiled = enableCompileCache();
if (compiled !== null) process.env.NODE_COMPILE_CACHE ??= compiled; // for ranks and their threads

// Read by TensorFlow's library when it is loaded, by this process or by ranks that it starts. Small products take a third of the time with oneDNN, which says past
// the log level that it is on: not beside what doctor prints, which computes nothing.
process.env.TF_ENABLE_ONEDNN_OPTS ??= args[0] === 'doctor' ? '0' : '1';
process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';

/** A rank that another process started tells its head of a stray error first. */
const stray = new AbortController();

/** A plug-in's ends what runs, in one line; a bug of ours ends this process at once, with its trace. */
async function onStrayError(error: unknown): Promise<void> {
  const { strayError } = await import('./plugins/stray_error.js');
  const told = strayError(error);
  if (told === null) {
    process.stderr.write(`${inspect(error)}\n`);
    process.exit(EXIT_FAILURE);
  }
  if (isSpawned) {
    stray.abort(error); // told by the classes of its bundle
    return;
  }
  fail(told);
  interrupted.abort(told);
}

process.on('uncaughtException', (error) => void onStrayError(error));

/** A rank, an instance or a run that another process started leaves Ctrl-C to its parent. */
const isSpawned = args[0] === 'rank' && args.includes('--spawned');
/** A command of a job: `task --spawned COMMAND …`. */
const isTask = args[0] === 'task' && args[1] === '--spawned';
const isRun = isTask || (args[0] === 'measure' && args.includes('--spawned'));
const isInstance = (args[0] === 'serve' && args.includes('--spawned')) || isRun;
if (isSpawned) {
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', onTermination);
} else if (isInstance) {
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('SIGTERM', onSignal);
  process.on('disconnect', onParentGone);
  process.channel?.unref(); // it keeps nobody waiting
} else for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);

/** Nobody is left who would end this process, nor a client of its own. */
function onParentGone(): void {
  onSignal('SIGTERM');
  const end = setTimeout(() => (isRun ? endGroup() : process.exit()), LINGER_MS);
  if (!isRun) end.unref();
}

/** The process of a run is the first of a group: what it started goes with it, whether it heard of that or not. */
const endGroup = (): boolean => process.kill(-process.pid, 'SIGKILL');

/** A rank asks to leave its job first, where it can; otherwise the signal does what it always does. */
function terminate(teller: StopTeller): void {
  if (terminationTaker(teller)) return;
  process.off('SIGTERM', onTermination);
  process.kill(process.pid, 'SIGTERM');
}

function onTermination(): void {
  if (!isEcho()) terminate('signal');
}

/** What can't be printed ends the job; a reader that goes away (`| head`) is no failure to report. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (interrupted.signal.aborted) return;
  if (error.code !== 'EPIPE')
    fail(new OutputError('standard output', error, 'check where it leads, and the space there'));
  process.exitCode = EXIT_FAILURE;
  interrupted.abort(error);
}

process.stdout.on('error', onOutputError);
process.stderr.on('error', () => undefined); // nobody is left to be told

/** A module that the build joined with all it needs. Why: docs/decisions/build.md#commands-run-from-a-bundle */
const bundled = <T>(name: string): Promise<T> =>
  import(new URL(`./bundle/${name}.js`, import.meta.url).href) as Promise<T>;

/** Each way loads only what it needs: four ranks start at once on the machine of a newcomer. */
async function main(): Promise<void> {
  if (isSpawned) {
    const { runSpawnedRank } = await bundled<typeof import('./rank/spawned_rank.js')>('spawned_rank');
    const tell = (news: SpawnedRankNews): void => {
      if (process.connected) process.send?.(news);
    };
    const { stdin, stderr, env } = process;
    const stopping = {
      takeTermination: (handler: StopHandler): void => void (terminationTaker = handler),
      terminate: () => terminate('parent'),
    };
    const isWell = await runSpawnedRank({ stdin, stderr, tell, env, stray: stray.signal, ...stopping });
    if (!isWell) process.exitCode = EXIT_FAILURE;
    return;
  }
  const { runCommand } = await bundled<typeof import('./commands/parser.js')>('parser');
  await runCommand(isTask ? args.slice(2) : args, context);
}

/** A timer or a socket that a plug-in left open keeps nobody waiting for ever; output that is still being read does. */
function endSoon(): void {
  const end = (): void => {
    if (process.stdout.writableLength + process.stderr.writableLength > 0) return endSoon();
    const what = [...new Set(process.getActiveResourcesInfo())].join(', ');
    process.stderr.write(
      `expertwire: ended although something was left open (${what}): a plug-in should close or unref it\n`,
    );
    process.exit();
  };
  setTimeout(end, LINGER_MS).unref();
}

await main().catch(fail);
endSoon();
