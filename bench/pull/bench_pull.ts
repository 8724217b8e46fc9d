/** `expertwire bench pull`: a model of several files from a hub on this machine into an empty cache, against curl, which checks nothing, in turns. */
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { UsageError, type CommandContext } from '../../lib/commands/base/context.js';
import { closing } from '../../lib/commands/base/closing.js';
import { checkBytes, seedNumber, wholeNumber } from '../../lib/commands/base/numbers.js';
import type { HubSettings } from '../../lib/hub/hub_settings.js';
import { pullModel } from '../../lib/hub/pull.js';
import { bytes, table } from '../../lib/metrics/charts.js';
import { BenchError } from '../base/errors.js';
import { median, thisMachine } from '../base/machine.js';
import { accepted, benchParser } from '../base/options.js';

interface Options {
  readonly mb: number;
  readonly files: number;
  readonly rounds: number;
  readonly seed: number;
  readonly json: boolean;
}

/** One way to fetch all files; times are those of the rounds. */
export interface PullRow {
  readonly what: string;
  readonly seconds: number;
  readonly mb_per_s: number;
  /** Speed against curl with one file after the other; null where there is no curl. */
  readonly of_curl: number | null;
}

/** Fetches everything into an empty folder. */
type Way = (folder: string) => Promise<unknown>;

/** Runs the benchmark and writes a report, or one JSON object with --json, to `stdout`. @throws UsageError for options that can't be measured */
export async function benchPull(args: readonly string[], { stdout, stderr, signal }: CommandContext): Promise<void> {
  const options = accepted(parse(args));
  const { mb, files, seed, rounds, json } = options;
  stderr.write(`making ${mb} MB …\n`);
  const file = fileURLToPath(new URL('./hub_process.js', import.meta.url));
  const stdio = ['ignore', 'ignore', 'ignore', 'ipc'] as const;
  const hub = fork(file, [mb * 1e6, files, seed].map(String), { execArgv: [], stdio: [...stdio] });
  const rows = await closing(
    () => ended(hub),
    async () => {
      const { url, paths } = await startOf(hub, signal);
      return measure(options, await waysOf(url, paths, signal), signal);
    },
  );
  const machine = thisMachine();
  if (json) stdout.write(`${JSON.stringify({ machine, mb, files, rounds, seed, rows })}\n`);
  else
    stdout.write(
      `${bytes(mb * 1e6)} in ${files} files, from a hub on this machine; medians of ${rounds} rounds in turns\n\n${report(rows)}\n`,
    );
}

function parse(args: readonly string[]): Options {
  const what = 'A model from a hub on this machine into an empty cache, against curl, which checks nothing.';
  const parsed = benchParser('pull', args, what)
    .option('mb', { type: 'number', default: 1000, describe: 'millions of bytes of weights, kept in memory' })
    .option('files', { type: 'number', default: 4, describe: 'files that they are in' })
    .option('rounds', { type: 'number', default: 5, describe: 'the median counts' })
    .option('seed', { type: 'number', default: 1, describe: 'of the bytes' })
    .option('json', { type: 'boolean', default: false, describe: 'one JSON object' })
    .parseSync();
  const { mb, files, rounds, seed, json } = parsed;
  wholeNumber('--mb', mb, 1);
  wholeNumber('--files', files, 1, 1000);
  wholeNumber('--rounds', rounds, 1);
  seedNumber('--seed', seed);
  checkBytes('--mb', mb * 1e6);
  return { mb, files, rounds, seed, json };
}

async function waysOf(url: string, paths: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Way>> {
  const env = { HF_ENDPOINT: url, HF_TOKEN: '' };
  const pulling =
    (name: string, settings: Partial<HubSettings> = {}): Way =>
    (folder) =>
      pullModel({
        name: { repo: `bench/${name}`, revision: 'main' },
        env: { ...env, HOME: folder, HF_HUB_CACHE: join(folder, 'hub') },
        ...{ settings, signal },
      });
  const urls = paths.map((path) => `${url}/bench/plain/resolve/main/${path}`);
  const curling =
    (...args: readonly string[]): Way =>
    (cwd) =>
      promisify(execFile)('curl', ['-sSfL', '--remote-name-all', ...args, ...urls], { cwd, signal });
  const hasCurl = await promisify(execFile)('curl', ['--version']).then(
    () => true,
    () => false,
  );
  return new Map<string, Way>([
    ...(hasCurl
      ? ([
          [CURL, curling()],
          ['curl, 4 files at a time', curling('--parallel', '--parallel-max', '4')],
        ] as const)
      : []),
    ['pull', pulling('plain')],
    ['pull, in chunks (Xet)', pulling('chunked', { chunksAboveBytes: 0 })],
  ]);
}

const CURL = 'curl, one file after the other';

async function measure(
  { mb, rounds }: Options,
  ways: ReadonlyMap<string, Way>,
  signal: AbortSignal,
): Promise<readonly PullRow[]> {
  const times = new Map([...ways.keys()].map((what) => [what, [] as number[]]));
  for (let round = 0; round < rounds; round++)
    for (const [what, way] of ways) {
      signal.throwIfAborted();
      const folder = await mkdtemp(join(tmpdir(), 'expertwire-bench-pull-'));
      try {
        const startMs = performance.now();
        await way(folder);
        times.get(what)!.push((performance.now() - startMs) / 1000);
        await checkFetched(what, folder, mb);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    }
  const curl = times.get(CURL);
  return [...times].map(([what, each]) => {
    const seconds = median(each);
    return { what, seconds, mb_per_s: mb / seconds, of_curl: curl === undefined ? null : median(curl) / seconds };
  });
}

/** A way that fetches less is no way. */
async function checkFetched(what: string, folder: string, mb: number): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()); // links lead to some of them
  const sizes = await Promise.all(files.map(async ({ parentPath, name }) => (await stat(join(parentPath, name))).size));
  const numBytes = sizes.reduce((sum, size) => sum + size, 0);
  if (numBytes < mb * 1e6) {
    throw new BenchError('NOT_ALL_FETCHED', `${what} fetched ${numBytes} bytes of ${mb} MB; please report this`);
  }
}

function report(rows: readonly PullRow[]): string {
  const lines = rows.map(({ what, seconds, mb_per_s, of_curl }) => [
    ...[what, seconds.toFixed(2), mb_per_s.toFixed(0), of_curl === null ? '–' : of_curl.toFixed(2)],
  ]);
  return table([['', 's', 'MB/s', 'of curl'], ...lines]);
}

interface Started {
  readonly url: string;
  readonly paths: readonly string[];
}

/** @throws UsageError where it can't hold the bytes */
async function startOf(hub: ChildProcess, signal: AbortSignal): Promise<Started> {
  const told = once(hub, 'message', { signal }).then(([message]) => message as Started);
  const died = once(hub, 'exit', { signal }).then(() => null);
  for (const each of [told, died]) each.catch(() => undefined); // one of them is too late
  const started = await Promise.race([told, died]);
  if (started === null)
    throw new UsageError("the hub's process ended before it had all bytes; give a smaller --mb, or more --files");
  return started;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill();
  await exit;
}
