/** Results from their folder. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { causeText, jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import { ExperimentError } from '../base/errors.js';
import type { Experiment } from '../base/experiment.js';
import type { Json, ResultRow } from '../base/run.js';
import { readRows } from '../runs/results_folder.js';
import { RESULT_FILES, runFolderOf } from '../runs/result_files.js';
import { readResult } from '../runs/run_folder.js';
import { pointsOf } from '../summary/summarize.js';
import { resultsOf, type Results } from './results.js';

/** Characters of a path in a message. */
const MAX_PATH_CHARS = 500;

/**
 * Rows so far, also of an experiment that still runs, and what the first run of each point left for pictures.
 *
 * @throws ExperimentError NO_RESULTS, BROKEN_RESULTS
 */
export async function readResults(folder: string): Promise<Results> {
  const experiment = await readExperimentFile(folder);
  const rows = await readRows(folder);
  if (rows.length === 0) {
    const what = `${printable(folder, MAX_PATH_CHARS)} has no row yet`;
    throw new ExperimentError('NO_RESULTS', `${what}; let expertwire experiment do a run first`);
  }
  return resultsOf(experiment, rows, await detailsOf(folder, experiment, rows));
}

/** The file as it was written, of which the parts that reports need are looked at. */
async function readExperimentFile(folder: string): Promise<Experiment> {
  const path = join(folder, RESULT_FILES.experiment);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ExperimentError(
      'NO_RESULTS',
      `${printable(path, MAX_PATH_CHARS)} can't be read (${causeText(cause)}); give the folder of an experiment's results, experiments/NAME by default`,
      { cause },
    );
  });
  const found = jsonOrUndefined(text);
  if (EXPERIMENT.safeParse(found).success) return found as Experiment;
  throw new ExperimentError(
    'BROKEN_RESULTS',
    `${printable(path, MAX_PATH_CHARS)} is no experiment; let expertwire experiment FILE write it anew`,
  );
}

const EXPERIMENT = z.object({
  name: z.string(),
  description: z.string(),
  text: z.string(),
  axes: z.array(z.object({ key: z.string(), values: z.array(z.json()) })),
  metrics: z.record(
    z.string(),
    z.object({
      unit: z.string(),
      better: z.enum(['higher', 'lower']).nullable(),
      kind: z.enum(['count', 'time', 'text']),
      what: z.string(),
    }),
  ),
  baseline: z.record(z.string(), z.json()).nullable(),
  plots: z.array(z.object({ x: z.string(), y: z.string() })),
});

async function detailsOf(
  folder: string,
  { axes }: Experiment,
  rows: readonly ResultRow[],
): Promise<ReadonlyMap<string, Readonly<Record<string, Json>>>> {
  const firsts = pointsOf(rows, axes).flatMap(({ rows: own }) => own.find(({ status }) => status === 'ok') ?? []);
  const found = await Promise.all(
    firsts.map(async ({ id }) => [id, (await readResult(runFolderOf(folder, id)))?.details ?? {}] as const),
  );
  return new Map(found);
}
