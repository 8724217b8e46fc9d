/**
 * The folder of a run: `run.json` says what to do, and either `result.json` or `error.json` what came of it. Each is whole or not there.
 * Why: docs/decisions/experiments.md#a-run-is-a-process-with-two-files
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { causeText, jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import { writeWhole } from '../../../base/whole_file.js';
import { ExperimentError } from '../base/errors.js';
import type { PlannedRun, RunResult } from '../base/run.js';
import { RUN_ERROR, RUN_RESULT, PLANNED_RUN } from './schemas.js';

/** Why a run has no result; the text ends with what to do. */
export type RunError = z.infer<typeof RUN_ERROR>;

/** Files of a run's folder. */
export const RUN_FILES = {
  run: 'run.json',
  result: 'result.json',
  error: 'error.json',
  /** What the process and its children wrote. */
  log: 'log.txt',
  /** A folder for files of the measure, which is gone afterwards. */
  files: 'files',
} as const;

const writeJson = (folder: string, name: string, value: object): Promise<void> =>
  writeWhole(join(folder, name), `${JSON.stringify(value)}\n`);

/** @throws what the file system throws */
export const writeRun = (folder: string, run: PlannedRun): Promise<void> => writeJson(folder, RUN_FILES.run, run);

/** @throws what the file system throws */
export const writeResult = (folder: string, result: RunResult): Promise<void> =>
  writeJson(folder, RUN_FILES.result, result);

/** @throws what the file system throws */
export const writeError = (folder: string, error: RunError): Promise<void> => writeJson(folder, RUN_FILES.error, error);

/** What the folder is for. @throws ExperimentError BROKEN_RESULTS for no such file, or another one */
export async function readRun(folder: string): Promise<PlannedRun> {
  const path = join(folder, RUN_FILES.run);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ExperimentError(
      'BROKEN_RESULTS',
      `${printable(path)} can't be read (${causeText(cause)}); give a folder that expertwire experiment made, runs/ID in its results`,
      { cause },
    );
  });
  const run = PLANNED_RUN.safeParse(jsonOrUndefined(text));
  // The configuration was checked when it was written.
  if (run.success) return run.data as unknown as PlannedRun;
  throw new ExperimentError(
    'BROKEN_RESULTS',
    `${printable(path)} is no run of an experiment; let expertwire experiment write it anew`,
  );
}

/** Null: it has none, or none that can be read. */
export const readResult = (folder: string): Promise<RunResult | null> =>
  readKnown(folder, RUN_FILES.result, RUN_RESULT);

/** Null: it has none, or none that can be read. */
export const readError = (folder: string): Promise<RunError | null> => readKnown(folder, RUN_FILES.error, RUN_ERROR);

async function readKnown<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T | null> {
  const text = await readFile(join(folder, name), 'utf8').catch(() => '');
  return schema.safeParse(jsonOrUndefined(text)).data ?? null;
}

/** Leaves nothing of an earlier try but its log. @throws what the file system throws */
export async function clearRun(folder: string): Promise<void> {
  const { result, error, files } = RUN_FILES;
  for (const name of [result, error, files]) await rm(join(folder, name), { recursive: true, force: true });
}
