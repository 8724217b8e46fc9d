/** Runs of experiments, made by hand. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { MetricInfo } from '../../../lib/experiment/base/metric.js';
import type { PlannedRun, RunEnvironment, RunResult } from '../../../lib/experiment/base/run.js';
import { writeRun } from '../../../lib/experiment/runs/run_folder.js';

/** A run that no configuration checks: played measures don't look at it. */
export const plannedRun = (over: Partial<PlannedRun> = {}): PlannedRun => {
  const run = {
    id: '',
    index: 0,
    point: {},
    round: 0,
    seed: 1,
    repeat: 0,
    config: {} as PlannedRun['config'],
    workload: {},
    measure: { kind: 'played' },
    warmup: 0,
    ...over,
  };
  const id = createHash('sha256').update(JSON.stringify({ ...run, index: 0, round: 0 }));
  return { ...run, id: over.id ?? id.digest('hex').slice(0, 16) };
};

/** In a new folder, which is returned. */
export async function runFolder(dir: string, run: PlannedRun): Promise<string> {
  const folder = join(dir, run.id);
  await mkdir(folder);
  await writeRun(folder, run);
  return folder;
}

/** What a played measure finds. */
export const RESULT: Omit<RunResult, 'measureMs' | 'environment'> = {
  metrics: { tokens: 7, share: 0.5, tokens_sha256: 'ab', missing: null },
  details: { rank_load: [[1, 2]] },
  backend: 'wasm',
};

const metric = (kind: MetricInfo['kind'], unit = ''): MetricInfo => ({ unit, better: null, kind, what: 'played' });

/** Of {@link RESULT}. */
export const METRICS: Readonly<Record<string, MetricInfo>> = {
  tokens: metric('count', 'tokens'),
  share: metric('time'),
  tokens_sha256: metric('text'),
  missing: metric('time', 'ms'),
};

/** What played runs ran with. */
export const ENVIRONMENT: RunEnvironment = { commit: null, versions: { node: '1' }, machine: { cores: 2 } };
