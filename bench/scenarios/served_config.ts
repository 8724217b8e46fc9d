/** A server of a configuration, in a process of its own: `expertwire serve`. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { closing } from '../../lib/commands/base/closing.js';
import { API_KEY_VARIABLE } from '../../lib/commands/serve/api_key_source.js';
import { ServeBenchError } from '../serve/load/errors.js';

/** What is served, and who ends it. */
export interface ServedOptions {
  readonly file: string;
  /** Further keys: 'parallel.ranks=1'. */
  readonly set: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** From the first signal to the end; then it is killed. */
const END_MS = 20_000;
/** Of what a server says, for errors. */
const MAX_WORDS = 4096;

/** Runs `use` with the server's address, and ends the server whatever happens. @throws ServeBenchError NO_SERVER where it doesn't start */
export async function withServer<T>(options: ServedOptions, use: (url: string) => Promise<T>): Promise<T> {
  const { file, set, env } = options;
  const sets = set.flatMap((each) => ['--set', each]);
  const cli = fileURLToPath(new URL('../../lib/cli.js', import.meta.url));
  const child = spawn(process.execPath, [cli, 'serve', '--config', file, '--port', '0', ...sets], {
    env: { ...env, [API_KEY_VARIABLE]: undefined }, // the load would need the key
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return closing(
    () => end(child),
    async () => use(await addressOf(child, options)),
  );
}

async function addressOf(child: ChildProcess, { file, signal }: ServedOptions): Promise<string> {
  let words = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-MAX_WORDS)));
  let said = '';
  const address = new Promise<string>((resolve) => {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(0, MAX_WORDS);
      const url = /^serving .* at (https?:\S+)$/m.exec(said)?.[1];
      if (url !== undefined && said.includes('\n')) resolve(url);
    });
  });
  const over = new AbortController();
  const waiting = { signal: AbortSignal.any([signal, over.signal]) };
  const ended = once(child, 'exit', waiting).then(() => {
    throw new ServeBenchError('NO_SERVER', `the server of ${file} didn't start: ${words.trim()}`);
  });
  try {
    return await Promise.race([address, ended]);
  } finally {
    over.abort();
    ended.catch(() => undefined);
  }
}

/** As Ctrl-C would; by force where that takes too long. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), END_MS);
  await exit.finally(() => clearTimeout(timer));
}
