/** The shards of an experiment as the folder of results that `expertwire report` takes. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { PlannedRun, ResultRow, RunEnd, RunEnvironment } from '../../experiment/base/run.js';
import type { Experiment } from '../../experiment/base/experiment.js';
import { RESULT_FILES, runFolderOf } from '../../experiment/runs/result_files.js';
import { lineOf, rowOf } from '../../experiment/runs/rows.js';
import { RUN_FILES, writeRun } from '../../experiment/runs/run_folder.js';
import { RUN_RESULT } from '../../experiment/runs/schemas.js';
import { readPlan } from '../base/plan_blob.js';
import { eachOf, writeBlob, type EndedShard, type OutputBus } from './blob_files.js';

/** @throws JobError BUS_FAILED, BROKEN_RECORD; what the file system throws */
export async function writeExperiment(
  bus: OutputBus,
  plan: string,
  shards: readonly EndedShard[],
  folder: string,
): Promise<void> {
  const { experiment, runs } = await readPlan(bus.blobs, plan);
  const rows: ResultRow[] = [];
  await eachOf(shards, async ({ index, shard }) => {
    const run = runs[index];
    // Who was stopped is to be done still.
    if (run === undefined || shard.state === 'stopped') return;
    rows.push(await writeRunOf(bus, experiment, run, shard, folder));
  });
  await writeFile(join(folder, RESULT_FILES.experiment), `${JSON.stringify(experiment, null, 2)}\n`);
  await writeFile(
    join(folder, RESULT_FILES.rows),
    rows
      .toSorted((a, b) => a.index - b.index)
      .map(lineOf)
      .join(''),
  );
}

async function writeRunOf(
  bus: OutputBus,
  experiment: Experiment,
  run: PlannedRun,
  shard: EndedShard['shard'],
  results: string,
): Promise<ResultRow> {
  const folder = runFolderOf(results, run.id);
  await mkdir(folder, { recursive: true });
  await writeRun(folder, run);
  if (shard.state === 'done') for (const file of shard.files) await writeBlob(bus, file, join(folder, file.name));
  const beganMs = shard.state === 'done' ? shard.beganMs : shard.endedMs;
  const times = { startedAt: new Date(beganMs), durationMs: Math.max(0, shard.endedMs - beganMs) };
  return rowOf(experiment, run, await endOf(bus, shard), times, UNKNOWN);
}

async function endOf({ blobs }: OutputBus, shard: EndedShard['shard']): Promise<RunEnd> {
  if (shard.state !== 'done')
    return { status: shard.error.code === 'RUN_TIMED_OUT' ? 'timed_out' : 'failed', error: shard.error };
  const file = shard.files.find(({ name }) => name === RUN_FILES.result);
  const text = file === undefined ? '' : (await buffer(blobs.get(file.blob))).toString();
  const result = RUN_RESULT.safeParse(jsonOrUndefined(text));
  if (result.success) return { status: 'ok', result: result.data };
  return { status: 'failed', error: { code: 'RUN_FAILED', message: 'its result can’t be read; run it again' } };
}

/** Of a run that left no result. */
const UNKNOWN: RunEnvironment = { commit: null, versions: {}, machine: {} };
