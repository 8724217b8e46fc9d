/**
 * From a planned run of an experiment to what a worker measures, all of its configuration looked at.
 * Why: docs/decisions/jobs.md#a-worker-does-what-expertwire-does-and-nothing-else
 */
import { isDeepStrictEqual } from 'node:util';
import { valueAt } from '../../../base/foreign_value.js';
import { configSchema, DEFAULTS } from '../../config/schema.js';
import type { PlannedRun } from '../../experiment/base/run.js';
import { Inputs } from '../../experiment/file/inputs.js';
import { runId } from '../../experiment/file/run_id.js';
import { isMeasure, MEASURES, type MeasureName } from '../../experiment/measures/measures.js';
import { JobError } from '../base/errors.js';
import { checkedValue } from './allowed_command.js';
import { inputPath } from './paths.js';
import type { RealPath, Rights } from './rights.js';
import { kindOfSetting, leavesOf } from './settings.js';

type Tree = Readonly<Record<string, unknown>>;

/** With the paths that its files and models have here; whether they are the same ones {@link checkSameFiles} says. @throws JobError NOT_ALLOWED */
export function allowedRun(run: PlannedRun, given: Rights, realPath: RealPath): PlannedRun {
  const rights = { ...given, relocates: true };
  const { measure, workload } = run;
  if (!isMeasure(measure.kind))
    throw new JobError('NOT_ALLOWED', `there is no measure "${measure.kind}"; update this worker`);
  if (measure.kind === 'bench')
    checkedValue('code', '', 'measure: bench, which runs programs of others too,', rights, realPath);
  const { files, configs = [] } = MEASURES[measure.kind];
  const own = configs.filter((key) => measure[key] !== null && measure[key] !== undefined);
  const others = own.map((key) => [key, allowedConfig(measure[key], `measure.${key}`, rights, realPath)]);
  return {
    ...run,
    config: allowedConfig(run.config, 'config', rights, realPath) as unknown as PlannedRun['config'],
    measure: { ...measure, ...(Object.fromEntries(others) as Tree) } as PlannedRun['measure'],
    workload: files.reduce((tree, key) => withFiles(tree, key, rights, realPath), workload),
  };
}

/** Of another machine's run: its id says what was in its files. @throws JobError NOT_ALLOWED: others are called so here */
export async function checkSameFiles(run: PlannedRun, here: PlannedRun): Promise<void> {
  if (isDeepStrictEqual(run, here)) return;
  const digests = await new Inputs().digestsOf(here, MEASURES[run.measure.kind as MeasureName]);
  if (runId(run, digests) === run.id) return;
  throw new JobError(
    'NOT_ALLOWED',
    `what is at ${here.config.model}, or another file of this run, isn't what it was planned with; give all machines the same files under the same names`,
  );
}

/** Whatever isn't as by default. */
function allowedConfig(config: unknown, what: string, rights: Rights, realPath: RealPath): Tree {
  const checked = configSchema.safeParse(config);
  if (!checked.success)
    throw new JobError(
      'NOT_ALLOWED',
      `${what} is none of this version (${checked.error.issues[0]!.path.join('.')}); give all machines the same version`,
    );
  let allowed: Tree = checked.data;
  for (const { path, value } of leavesOf(config)) {
    if (isDeepStrictEqual(value, valueAt(DEFAULTS, path))) continue;
    const kind = kindOfSetting(path) ?? 'code';
    if (kind === 'text') continue;
    const got = checkedValue(kind, String(value), `${what}.${path.join('.')}`, rights, realPath);
    if (kind !== 'code') allowed = withValue(allowed, path, got);
  }
  return allowed;
}

/** Files that a key of the workload names, one or a list of them. */
function withFiles(
  workload: PlannedRun['workload'],
  key: string,
  rights: Rights,
  realPath: RealPath,
): PlannedRun['workload'] {
  const path = key.split('.');
  const value = valueAt(workload, path);
  const allowed = (text: string): string => inputPath(`workload.${key}`, text, rights, realPath);
  if (typeof value === 'string') return withValue(workload, path, allowed(value)) as PlannedRun['workload'];
  if (!Array.isArray(value)) return workload;
  const files = value.map((each) => (typeof each === 'string' ? allowed(each) : (each as unknown)));
  return withValue(workload, path, files) as PlannedRun['workload'];
}

const withValue = (tree: Tree, [first, ...rest]: readonly string[], value: unknown): Tree => ({
  ...tree,
  [first!]: rest.length === 0 ? value : withValue(tree[first!] as Tree, rest, value),
});
