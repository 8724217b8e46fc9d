/** From a point to what its runs compute: configuration, workload and measure, each by its own schema. */
import { existsSync, statSync } from 'node:fs';
import { closest } from 'fastest-levenshtein';
import * as z from 'zod';
import { shown } from '../../../base/foreign_text.js';
import { valueAt } from '../../../base/foreign_value.js';
import { candidatesFor, configOfLayers } from '../../config/load.js';
import { isNear, type Layer } from '../../config/layers.js';
import { DEMO_MODEL } from '../../config/package_files.js';
import { configSchema, type ExpertwireConfig } from '../../config/schema.js';
import type { Environment } from '../../hub/cache/hub_cache.js';
import type { MeasureInfo } from '../base/measure_info.js';
import type { Json, PlannedRun } from '../base/run.js';
import { isMeasure, MEASURE_NAMES, MEASURES, type MeasureName } from '../measures/measures.js';
import { checkedPart, errorAt, nearestOf, type OriginOf } from './checked_part.js';
import type { ExperimentFile } from './file_schema.js';
import { keysLayer, PARTS, partOf, placeIn, sweepLayer, withoutOverrides, withSwept } from './point_layers.js';
import { LABEL, type SweptPoint } from './sweep.js';

/** The file that points come from. */
export interface PointSource {
  readonly file: ExperimentFile;
  readonly base: Layer;
  readonly originOf: OriginOf;
  readonly cwd: string;
  readonly env: Environment;
}

/** All of a run that its point and seed decide. */
export type PointRun = Pick<PlannedRun, 'config' | 'workload' | 'measure'>;

/** What of a point no seed changes. */
export interface CheckedPoint {
  readonly point: SweptPoint;
  readonly kind: MeasureName;
  readonly info: MeasureInfo;
  readonly settings: Readonly<Record<string, Json>>;
  readonly workload: Readonly<Record<string, Json>>;
}

/** Keys that a seed of the experiment sets where nobody else does. */
export const SEED_KEYS = ['engine.seed', 'generate.seed', 'experts.routing_seed'] as const;

/** Workload and measure of a point. @throws ConfigError with the line of what is wrong */
export function checkedPoint(point: SweptPoint, source: PointSource): CheckedPoint {
  const { file, originOf: fileOriginOf } = source;
  for (const key of Object.keys(point.values)) checkPartName(key, point, fileOriginOf);
  const measure = typeof file.measure === 'string' ? { kind: file.measure } : file.measure;
  const { kind, ...settings } = withSwept('measure', measure, point, fileOriginOf);
  const originOf: OriginOf = (path) => fileOriginOf(placeIn(point, path));
  if (typeof kind !== 'string' || !isMeasure(kind)) {
    if (kind === undefined) {
      const text = `"measure.kind" is missing; give one of ${MEASURE_NAMES.join(', ')}`;
      throw errorAt(originOf, ['measure', 'kind'], 'MISSING_KEY', text);
    }
    const advice = nearestOf(typeof kind === 'string' ? kind : '', MEASURE_NAMES, 'give one of those that there are');
    const text = `"measure" is ${shown(kind)}; ${advice} (measures are ${MEASURE_NAMES.join(', ')})`;
    throw errorAt(originOf, ['measure', 'kind'], 'INVALID_VALUE', text);
  }
  const info = MEASURES[kind];
  const workload = withSwept('workload', file.workload, point, fileOriginOf);
  const checked = {
    settings: checkedMapping(info.settings, settings, 'measure', originOf),
    workload: checkedMapping(info.workload, workload, 'workload', originOf),
  };
  const found = withFiles(checked.workload, info.files, (path) => originOf(['workload', ...path]), source);
  return { point, kind, info, settings: checked.settings, workload: found };
}

/** A point's run with a seed. @throws ConfigError for what a configuration refuses */
export function pointRun(checked: CheckedPoint, seed: number, source: PointSource): PointRun {
  const { point, kind, info, workload } = checked;
  const { originOf, cwd, env } = source;
  const isGiven = valueAt(source.base.values, ['model']) !== undefined || point.values.model !== undefined;
  if (info.hasEngine && !isGiven) {
    const text = `"base.model" is missing, and ${kind} runs an engine; give the path of a model folder, or ORG/NAME of a model in the hub's cache`;
    throw errorAt(originOf, ['base'], 'MISSING_KEY', text);
  }
  const layers: readonly Layer[] = [
    ...(info.hasEngine ? [] : [{ values: { model: DEMO_MODEL }, originOf: () => ({ where: 'defaults' }) }]),
    { values: ALIKE, originOf: () => ({ where: 'defaults of experiments' }) },
    { values: seedValues(seed), originOf: () => originOf(['seeds']) },
    source.base,
    sweepLayer(point, originOf),
  ];
  const settings = { ...checked.settings };
  for (const key of info.configs ?? []) {
    const values = valueAt(settings, key.split('.'));
    if (values === undefined || values === null) continue;
    const place = ['measure', ...key.split('.')];
    const placeOf = (name: string): readonly PropertyKey[] => placeIn(point, [...place, name]);
    const own = values as Readonly<Record<string, Json>>;
    const below = own.model_overrides === null ? layers.map(withoutOverrides) : layers;
    settings[key] = plain(configOfLayers([...below, keysLayer(own, placeOf, originOf)], { cwd, env }));
  }
  return { config: configOfLayers(layers, { cwd, env }), workload, measure: { kind, ...settings } };
}

/** The point with a value for each of the sweep's keys: where it has none of its own, what it comes to. */
export function filledPoint(
  { point, workload, settings, kind }: CheckedPoint,
  config: ExpertwireConfig,
  keys: readonly string[],
): Readonly<Record<string, Json>> {
  const whole = { ...config, workload, measure: { kind, ...settings } };
  const isSeed = (key: string): boolean => (SEED_KEYS as readonly string[]).includes(key);
  const valueOf = (key: string): Json => {
    const own = point.values[key];
    if (own !== undefined || isSeed(key) || key === LABEL) return own ?? null;
    return plain(valueAt(whole, key.split('.')) ?? null);
  };
  return Object.fromEntries(keys.map((key) => [key, valueOf(key)]));
}

/** Ranks get work by its measured speed otherwise, and a busy machine's counts would be others each time. Why: docs/decisions/experiments.md#counts-and-times-are-told-apart */
const ALIKE: unknown = { parallel: { on_slow: 'ignore' } };

const seedValues = (seed: number): unknown => ({
  engine: { seed },
  generate: { seed },
  experts: { routing_seed: seed },
});

/** As JSON has it. */
const plain = (value: unknown): Json => JSON.parse(JSON.stringify(value)) as Json;

const mapping = z.record(z.string(), z.json());

function checkedMapping(
  schema: z.ZodType,
  value: Readonly<Record<string, Json>>,
  part: (typeof PARTS)[number],
  originOf: OriginOf,
): Readonly<Record<string, Json>> {
  return mapping.parse(plain(checkedPart(schema, value, { path: [part], originOf })));
}

/** What is nearly `workload` or `measure` isn't told of as a key of the configuration. */
function checkPartName(key: string, { places }: SweptPoint, originOf: OriginOf): void {
  const [first = ''] = key.split('.');
  if (partOf(key) !== 'config' || Object.hasOwn(configSchema.shape, first)) return;
  const nearest = closest(first, [...PARTS, LABEL, ...Object.keys(configSchema.shape)]);
  if (!isNear(first, nearest) || Object.hasOwn(configSchema.shape, nearest)) return;
  const meant = [nearest, ...key.split('.').slice(1)].join('.');
  const text = `there is no key "${key}" to sweep; did you mean "${meant}"? (keys are those of a configuration, workload.…, measure.… and label)`;
  throw errorAt(originOf, places[key]!, 'UNKNOWN_KEY', text);
}

/** The workload with absolute paths of files that are there. @throws ConfigError NOT_FOUND */
function withFiles(
  workload: Readonly<Record<string, Json>>,
  keys: readonly string[],
  originOf: OriginOf,
  { cwd }: PointSource,
): Readonly<Record<string, Json>> {
  const found = structuredClone(workload) as Record<string, Json>;
  for (const key of keys) {
    const path = key.split('.');
    const parent = valueAt(found, path.slice(0, -1)) as Record<string, Json> | null | undefined;
    const name = path.at(-1)!;
    const value = parent?.[name];
    if (typeof value === 'string') parent![name] = foundFile(value, path, originOf, cwd);
    if (Array.isArray(value)) {
      parent![name] = (value as readonly Json[]).map((each, i) =>
        typeof each === 'string' ? foundFile(each, [...path, i], originOf, cwd) : each,
      );
    }
  }
  return found;
}

function foundFile(file: string, path: readonly PropertyKey[], originOf: OriginOf, cwd: string): string {
  const candidates = candidatesFor(file, originOf(path), cwd);
  const found = candidates.find((each) => existsSync(each) && statSync(each).isFile());
  if (found !== undefined) return found;
  const text = `"${['workload', ...path].map(String).join('.')}" is ${shown(file)}, but there is no such file (looked for ${candidates.join(', ')}); give the path of a file`;
  throw errorAt(originOf, path, 'NOT_FOUND', text);
}
