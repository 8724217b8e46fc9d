/** A run whose result was written before its row was: whoever started it was killed in between. */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { PlannedRun, RunEnd, RunTimes } from '../base/run.js';
import { runFolderOf } from './result_files.js';
import { readResult, readRun, RUN_FILES } from './run_folder.js';

/** Null: it has no result, or that of another run: `run.json` was changed by hand. */
export async function finishedRun(
  results: string,
  run: PlannedRun,
): Promise<(RunTimes & { readonly end: RunEnd }) | null> {
  const folder = runFolderOf(results, run.id);
  const result = await readResult(folder);
  const found = result === null ? null : await readRun(folder).catch(() => null);
  if (result === null || found === null || !isSame(found, run)) return null;
  const [startedAt, endedAt] = await Promise.all(
    [RUN_FILES.run, RUN_FILES.result].map(async (name) => (await stat(join(folder, name))).mtime),
  );
  // What is left of clocks: the process was started after its file was written, and ended after its result was.
  const durationMs = Math.max(result.measureMs, endedAt!.getTime() - startedAt!.getTime());
  return { end: { status: 'ok', result }, startedAt: startedAt!, durationMs };
}

/** But for their places, which a file that grew changes. */
const isSame = (a: PlannedRun, b: PlannedRun): boolean => isDeepStrictEqual(withoutPlace(a), withoutPlace(b));

const withoutPlace = (run: PlannedRun): unknown => ({
  ...(JSON.parse(JSON.stringify(run)) as object),
  index: 0,
  round: 0,
});
