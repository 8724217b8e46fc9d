/**
 * A run whose runner is elsewhere: a process beside the run's own does what the runner of this machine does, and leaves in the folder how it ended. So a run ends alike wherever it is.
 * Why: docs/decisions/experiments.md#elsewhere-a-run-has-the-runner-of-its-machine-beside-it
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import { writeWhole } from '../../../base/whole_file.js';
import type { RunEnd } from '../base/run.js';
import { LocalRunner, type LocalRunnerOptions } from './local_runner.js';
import { readResult } from './run_folder.js';
import { RUN_ERROR } from './schemas.js';

/** `end.json`, beside `result.json`. */
export const END_FILE = 'end.json';

const END = z.object({
  status: z.enum(['ok', 'failed', 'timed_out']),
  error: RUN_ERROR.nullable(),
  startedAt: z.iso.datetime(),
  durationMs: z.number(),
});

/** Does the folder's run and writes how it ended. @throws `signal`'s reason; what the file system throws */
export async function runApart(
  folder: string,
  timeoutMs: number,
  signal: AbortSignal,
  options: LocalRunnerOptions,
): Promise<RunEnd> {
  const startedAt = new Date();
  const beganMs = performance.now();
  const runner = new LocalRunner(options);
  const end = await runner.run(folder, timeoutMs, signal);
  const durationMs = performance.now() - beganMs;
  const error = end.status === 'ok' ? null : end.error;
  const text = JSON.stringify({ status: end.status, error, startedAt: startedAt.toISOString(), durationMs });
  await writeWhole(join(folder, END_FILE), `${text}\n`);
  return { ...end, times: { startedAt, durationMs } };
}

/** How the run in the folder ended; null: it didn't yet, or nobody could write it. */
export async function endApart(folder: string): Promise<RunEnd | null> {
  const text = await readFile(join(folder, END_FILE), 'utf8').catch(() => '');
  const { data } = END.safeParse(jsonOrUndefined(text));
  const result = await readResult(folder);
  if (data === undefined) return result === null ? null : { status: 'ok', result };
  const times = { startedAt: new Date(data.startedAt), durationMs: data.durationMs };
  if (result !== null) return { status: 'ok', result, times };
  if (data.status === 'ok' || data.error === null) return null; // half of it is there yet
  return { status: data.status, error: data.error, times };
}

/** Nothing says any more how an earlier try ended. @throws what the file system throws */
export const forgetEnd = (folder: string): Promise<void> => rm(join(folder, END_FILE), { force: true });
