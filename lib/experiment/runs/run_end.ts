/** How a run came to an end, from what its process left. */
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { printable } from '../../../base/foreign_text.js';
import type { RunEnd } from '../base/run.js';
import { readError, readResult, RUN_FILES } from './run_folder.js';
import type { ProcessExit } from './run_process.js';

/** A result counts however its process ended afterwards. `timeoutMs`: the time it had, where it took more; otherwise null. */
export async function endOf(folder: string, exit: ProcessExit, timeoutMs: number | null): Promise<RunEnd> {
  await rm(join(folder, RUN_FILES.files), { recursive: true, force: true });
  const result = await readResult(folder);
  if (result !== null) return { status: 'ok', result };
  if (timeoutMs !== null) return { status: 'timed_out', error: { code: 'RUN_TIMED_OUT', message: tooLong(timeoutMs) } };
  const error = (await readError(folder)) ?? { code: 'RUN_FAILED', message: await whyNone(folder, exit) };
  return { status: 'failed', error };
}

const tooLong = (timeoutMs: number): string =>
  `the run took longer than timeout_s (${timeoutMs / 1000} s); raise it, or measure less`;

async function whyNone(folder: string, { code, signal, notStarted }: ProcessExit): Promise<string> {
  if (notStarted !== null)
    return `the run's process can't be started (${notStarted}); raise the limits of open files and processes, or free memory`;
  const log = join(folder, RUN_FILES.log);
  const words = await lastWords(log);
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  const advice = signal === 'SIGKILL' ? 'look whether memory ran out' : `look into ${printable(log, MAX_PATH_CHARS)}`;
  return `the run's process ended ${how} without a result${words}; ${advice}`;
}

const MAX_PATH_CHARS = 500;
const MAX_LOG_BYTES = 4096;
const MAX_WORDS_CHARS = 300;

/** The last line of a log that may be large, as ` ("…")`. */
export async function lastWords(path: string): Promise<string> {
  const file = await open(path, 'r').catch(() => null);
  if (file === null) return '';
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read({
      buffer: Buffer.alloc(MAX_LOG_BYTES),
      position: Math.max(0, size - MAX_LOG_BYTES),
    });
    const last = buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n').at(-1)!;
    return last === '' ? '' : ` ("${printable(last, MAX_WORDS_CHARS)}")`;
  } finally {
    await file.close();
  }
}
