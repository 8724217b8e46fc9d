/** What a folder of results has, for whoever shows it: it may be another's at work. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import { ExperimentError } from '../base/errors.js';
import type { Experiment } from '../base/experiment.js';
import type { ResultRow } from '../base/run.js';
import { RESULT_FILES } from './result_files.js';
import { readRows } from './results_folder.js';

/** What reports are made of. */
export interface FoundResults {
  readonly experiment: Experiment;
  /** The last one of each run, in the order of the plan. */
  readonly rows: readonly ResultRow[];
}

/** Enough of it that it is one: it was checked before it was written. */
const EXPERIMENT = z.looseObject({
  name: z.string(),
  axes: z.array(z.looseObject({ key: z.string() })),
  metrics: z.record(z.string(), z.looseObject({ unit: z.string() })),
  plots: z.array(z.looseObject({})),
});

const MAX_PATH_CHARS = 500;

/** @throws ExperimentError NO_RESULTS or BROKEN_RESULTS */
export async function readResults(path: string): Promise<FoundResults> {
  const experiment = await readExperimentJson(path);
  const rows = (await readRows(path)).toSorted((a, b) => a.index - b.index);
  if (rows.length > 0) return { experiment, rows };
  const where = printable(path, MAX_PATH_CHARS);
  throw new ExperimentError('NO_RESULTS', `${where} has no run that is done; run expertwire experiment first`);
}

async function readExperimentJson(path: string): Promise<Experiment> {
  const file = join(path, RESULT_FILES.experiment);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const where = printable(path, MAX_PATH_CHARS);
    const why = `${where} has no ${RESULT_FILES.experiment}; give the folder that expertwire experiment wrote`;
    throw new ExperimentError('NO_RESULTS', why, { cause });
  });
  const experiment = EXPERIMENT.safeParse(jsonOrUndefined(text));
  if (experiment.success) return experiment.data as unknown as Experiment;
  throw new ExperimentError(
    'BROKEN_RESULTS',
    `${printable(file, MAX_PATH_CHARS)} can't be read; expertwire experiment writes it anew`,
  );
}
