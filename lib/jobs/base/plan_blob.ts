/** The plan of an experiment as the bus keeps it: a line for the experiment, and one for each of its runs. */
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import * as z from 'zod';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { Experiment, ExperimentPlan } from '../../experiment/base/experiment.js';
import type { PlannedRun } from '../../experiment/base/run.js';
import { PLANNED_RUN } from '../../experiment/runs/schemas.js';
import { JobError } from './errors.js';
import type { Blobs } from './job_bus.js';

/** Which runner an experiment names doesn't matter: workers run it. */
export type KeptPlan = Pick<ExperimentPlan, 'experiment' | 'runs'>;

/** As a blob. */
export const planBytes = ({ experiment, runs }: KeptPlan): AsyncIterable<Uint8Array> =>
  Readable.from([experiment, ...runs].map((each) => Buffer.from(`${JSON.stringify(each)}\n`)));

/** Enough of it that it is one. */
const EXPERIMENT = z.looseObject({ name: z.string(), metrics: z.record(z.string(), z.looseObject({})) });

/** The id of a run is the name of a folder: it leads nowhere else. */
const RUN = z.looseObject({ id: z.string().regex(/^[0-9a-f]{16}$/) });

/** Whoever may write to the bus may have written it. @throws JobError BROKEN_RECORD; BUS_FAILED */
export async function readPlan(blobs: Pick<Blobs, 'get'>, name: string): Promise<KeptPlan> {
  const values: unknown[] = [];
  for await (const line of linesOf(blobs.get(name))) values.push(jsonOrUndefined(line));
  const [experiment, ...runs] = values as [Experiment, ...PlannedRun[]];
  // What isn't JSON was cut off.
  const isExperiment = EXPERIMENT.safeParse(experiment).success;
  if (isExperiment && runs.every((run) => RUN.safeParse(run).success && PLANNED_RUN.safeParse(run).success))
    return { experiment, runs };
  throw new JobError('BROKEN_RECORD', `the plan ${name} can't be read; apply its job again`);
}

/** Lines of a text in pieces, without their ends. */
export const linesOf = (pieces: AsyncIterable<Uint8Array>): AsyncIterable<string> =>
  createInterface({ input: Readable.from(pieces), crlfDelay: Infinity });
