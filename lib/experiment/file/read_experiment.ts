/**
 * From an experiment's file to its runs, all of them checked.
 * Why: docs/decisions/experiments.md#the-whole-file-is-checked-before-the-first-run
 */
import { basename } from 'node:path';
import { causeText, shown } from '../../../base/foreign_text.js';
import { InternalError } from '../../../base/coded_error.js';
import { valueAt } from '../../../base/foreign_value.js';
import { ConfigError } from '../../config/errors.js';
import { readYamlText } from '../../config/load.js';
import type { Origin } from '../../config/layers.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import { EngineError } from '../../protocol/errors.js';
import type { Experiment, ExperimentPlan } from '../base/experiment.js';
import type { MetricInfo } from '../base/metric.js';
import type { PlannedRun } from '../base/run.js';
import { PARALLEL } from '../base/runner.js';
import { MEASURES, type MeasureName } from '../measures/measures.js';
import { axesOf, checkBaseline, checkedPlots } from './axes.js';
import { baseLayer } from './base_layer.js';
import { checkedPart, errorAt, type OriginOf } from './checked_part.js';
import { fileSchema, MAX_RUNS, type ExperimentFile } from './file_schema.js';
import { Inputs } from './inputs.js';
import { placeIn } from './point_layers.js';
import { checkedPoint, filledPoint, pointRun, type CheckedPoint, type PointSource } from './point_run.js';
import { turnsOf } from './rounds.js';
import { checkDifferent } from './same_points.js';
import { checkRun, type CheckRun } from './run_check.js';
import { canonicalJson, runId } from './run_id.js';
import { chosenRunner, type RunnerText } from './runner_schema.js';
import { sweptPoints } from './sweep.js';

/** Where a file is read, and who else looks at its runs. */
export interface ReadExperimentOptions {
  /** Folder that relative paths start from. Default: the process's current working directory. */
  readonly cwd?: string;
  /** Says where the hub's cache is. Default: none, so that it is in the user's home. */
  readonly env?: Environment;
  /** Looks at one run of each point, after all else: what only the measure's own code knows. Default: nobody. */
  readonly checkRun?: CheckRun;
  /** Of the command line, which goes before the file's `runner`. Default: none. */
  readonly runner?: RunnerText | undefined;
}

/**
 * Reads and checks the whole file: each key, and for each point what its command would refuse before it computes.
 * @param file path of a YAML file
 * @throws ConfigError with file, line and what was probably meant
 */
export async function readExperiment(
  file: string,
  { cwd = process.cwd(), env = {}, checkRun: checkMore = nobody, runner: given }: ReadExperimentOptions = {},
): Promise<ExperimentPlan> {
  const text = await readYamlText(file, cwd);
  const { yamlFileLayer } = await import('../../config/yaml_source.js');
  const layer = yamlFileLayer(text, file);
  const originOf: OriginOf = (path) => layer.originOf(path);
  const parsed = checkedPart(fileSchema, layer.values, { path: [], originOf });
  const source: PointSource = { file: parsed, base: await baseLayer(parsed.base, originOf, cwd), originOf, cwd, env };
  const points = planPoints(source);
  const axes = axesOf(points.keys, points.values);
  const metrics = metricsOf(points.checked);
  const runner = chosenRunner(parsed.runner, given, originOf);
  checkBaseline(parsed.baseline, axes, points.values, originOf);
  const experiment: Experiment = {
    name: parsed.name ?? nameOf(file, originOf),
    description: parsed.description,
    text,
    axes,
    metrics,
    baseline: parsed.baseline,
    plots: checkedPlots(parsed, axes, metrics, originOf),
    timeoutMs: Math.ceil(1000 * parsed.timeout_s),
    parallel: parsed.parallel ?? PARALLEL[runner.kind],
  };
  const runs = plannedRuns(points, source);
  await checkRuns(runs, points, source, checkMore);
  return { experiment, runs: await withIds(runs), runner };
}

const nobody: CheckRun = () => Promise.resolve();

interface Points {
  readonly checked: readonly CheckedPoint[];
  /** With a value for each key. */
  readonly values: readonly PlannedRun['point'][];
  readonly keys: readonly string[];
}

function planPoints(source: PointSource): Points {
  const { file, originOf } = source;
  const swept = sweptPoints(file.sweep, originOf);
  const numRuns = swept.length * file.seeds.length * file.repeats;
  if (numRuns > MAX_RUNS) {
    const text = `${swept.length} points with ${file.seeds.length} seeds and ${file.repeats} repeats are ${numRuns} runs, and a file has ${MAX_RUNS} at most; leave some out`;
    throw errorAt(originOf, ['sweep'], 'INVALID_VALUE', text);
  }
  const keys = [...new Set(swept.flatMap(({ values }) => Object.keys(values)))];
  const checked = swept.map((point) => checkedPoint(point, source));
  const [seed] = file.seeds as [number];
  const filled = checked.map((each) => {
    const run = pointRun(each, seed, source);
    return { point: each.point, run, values: filledPoint(each, run.config, keys) };
  });
  checkDifferent(filled, originOf);
  return { checked, values: filled.map(({ values }) => values), keys };
}

/** In their order, without their names. */
function plannedRuns({ checked, values }: Points, source: PointSource): readonly UnnamedRun[] {
  const { seeds, repeats, warmup } = source.file;
  const ofSeeds = new Map(seeds.map((seed) => [seed, checked.map((point) => pointRun(point, seed, source))]));
  return turnsOf(checked.length, seeds, repeats).map(({ point, round, seed, repeat }, index) => ({
    ...{ index, round, point: values[point]!, seed, repeat, warmup },
    ...ofSeeds.get(seed)![point]!,
  }));
}

type UnnamedRun = Omit<PlannedRun, 'id'>;

/** A run's name says what is in the files that it reads, too: they are there, since the run was checked. */
async function withIds(runs: readonly UnnamedRun[]): Promise<readonly PlannedRun[]> {
  const inputs = new Inputs();
  const named = runs.map(async (run) => {
    const info = MEASURES[run.measure.kind as MeasureName];
    return { id: runId(run, await inputs.digestsOf(run, info)), ...run };
  });
  return Promise.all(named);
}

/** All that any of the measures gives. */
function metricsOf(points: readonly CheckedPoint[]): Readonly<Record<string, MetricInfo>> {
  const all = points.map(({ info, settings }) => info.metricsOf(settings as never));
  return Object.assign({}, ...all) as Readonly<Record<string, MetricInfo>>;
}

/** One run of each point, where nothing was looked at that is the same but for the seed. */
async function checkRuns(
  runs: readonly UnnamedRun[],
  { checked }: Points,
  source: PointSource,
  checkMore: CheckRun,
): Promise<void> {
  const seen = new Set<string>();
  for (const [i, point] of checked.entries()) {
    const run = runs[i]!; // the first round has all points, in their order
    const what = canonicalJson([run.config, run.workload, run.measure]);
    if (seen.has(what)) continue;
    seen.add(what);
    await checkRun({ id: '', ...run }, point.info, checkMore).catch((cause: unknown) => {
      throw cause instanceof InternalError ? cause : refusalOf(cause, point, source);
    });
  }
}

/** With the line that is to blame, as far as it is known, and the point. */
function refusalOf(cause: unknown, { point }: CheckedPoint, source: PointSource): ConfigError {
  const isOurs = isConfigError(cause);
  const { where, file, line } = originOfKey(isOurs ? cause.key : ofWorkload(cause, source.file), point, source);
  const hasPlace = isOurs && cause.line !== undefined;
  const values = Object.entries(point.values).map(([key, value]) => `${key} ${shown(value)}`);
  const who = values.length === 0 ? '' : `with ${values.join(', ')}: `;
  const text = `${hasPlace ? '' : `${where}: `}${who}${isOurs ? cause.text : causeText(cause)}`;
  const code = isOurs ? cause.code : 'INVALID_VALUE';
  return new ConfigError(code, text, { key: isOurs ? cause.key : undefined, file, line, cause });
}

/** By its name: classes of the bundle aren't those of the benchmarks, which look at runs too. */
const isConfigError = (cause: unknown): cause is ConfigError => cause instanceof Error && cause.name === 'ConfigError';

/** A request that the model can't answer comes from there, unless the base has the prompts. */
const ofWorkload = (cause: unknown, { workload }: ExperimentFile): string | undefined =>
  cause instanceof EngineError && Object.keys(workload).length > 0 ? 'workload' : undefined;

/** Where a key's value came from; else where the sweep, or the base, begins. */
function originOfKey(key: string | undefined, point: CheckedPoint['point'], { base, originOf }: PointSource): Origin {
  if (key !== undefined) {
    const path = key.split('.');
    const place = placeIn(point, path);
    if (place !== path || ['workload', 'measure'].includes(path[0]!)) return originOf(place);
    if (valueAt(base.values, path) !== undefined) return base.originOf(path);
  }
  const [first] = Object.values(point.places);
  return originOf(first ?? ['base']);
}

/** The file's own, without what says its format. */
function nameOf(file: string, originOf: OriginOf): string {
  const name = basename(file).replace(/\.ya?ml$/i, '');
  const checked = fileSchema.shape.name.safeParse(name);
  if (checked.success) return name;
  throw errorAt(originOf, [], 'INVALID_VALUE', `${shown(name)} can't name a folder of results; give the file a "name"`);
}
