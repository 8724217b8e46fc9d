/** What a run leaves that computes nothing. */
import { join } from 'node:path';
import { writeWhole } from '../../base/whole_file.js';
import type { PlannedRun } from '../../lib/experiment/base/run.js';
import { RUN_FILES, writeResult } from '../../lib/experiment/runs/run_folder.js';

/** Names of its files. */
export const LEFT = [RUN_FILES.result, RUN_FILES.log];

/** In its folder. @throws what the file system throws */
export async function leaveResult(folder: string): Promise<void> {
  const environment = { commit: null, versions: {}, machine: {} };
  await writeResult(folder, { metrics: { tokens: 1 }, details: {}, backend: null, measureMs: 0, environment });
  await writeWhole(join(folder, RUN_FILES.log), 'played\n');
}

/** One that no configuration checks: whoever plays it doesn't look at that. */
export const playedRun = (index: number): PlannedRun => ({
  ...{ id: index.toString(16).padStart(16, '0'), index, point: {}, round: 0, seed: 1, repeat: index },
  ...{ config: {} as PlannedRun['config'], workload: {}, measure: { kind: 'played' }, warmup: 0 },
});
