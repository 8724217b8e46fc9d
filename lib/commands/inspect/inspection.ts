/** What a model folder is: all that can be known without computing. */
import { availableParallelism, totalmem } from 'node:os';
import type { KvDtype } from '../../../compute/base/kv_dtype.js';
import { kvTierSizes } from '../../config/kv_tiers_schema.js';
import { checkNames } from '../../config/name_check.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { checkOverrides, pluginsOf } from '../../head/opened_model.js';
import { FAMILIES, modelSpecOf } from '../../model/families/registry.js';
import { ModelError } from '../../model/spec/errors.js';
import { mechanismsOf } from '../../model/spec/mechanisms.js';
import { MODEL_PARTS, parametersOf, partOf, type ModelPart, type Parameters } from '../../model/spec/parameters.js';
import { withQuantConfig } from '../../model/spec/quantization.js';
import type { ModelSpec } from '../../model/spec/spec.js';
import type { KnownWeights } from '../../model/stored/model_weights.js';
import { familiesOf } from '../../plugins/families.js';
import { openGate } from '../../plugins/gates.js';
import { overridesOf } from '../../model/weights/resident_overrides.js';
import { warmWishOf } from '../../protocol/rank_job.js';
import { limitsOf, type EngineLimits } from '../../protocol/limits.js';
import { readModelFiles, type JsonObject, type ModelFiles } from '../../weights/model_files.js';
import { rankBytes, type RankBytesRow } from './rank_bytes.js';
import { withStored, type StoredFiles } from './stored.js';
import { inspectText, type TextFacts } from './text_facts.js';

/** Something that keeps a folder from running, or a part of it from being used. */
export interface Problem {
  readonly part: 'model' | 'weights' | 'tokenizer';
  readonly code: string;
  readonly message: string;
}

/** What is known of a model that is supported. */
export interface ModelFacts {
  readonly spec: ModelSpec;
  readonly parameters: Parameters;
  readonly limits: EngineLimits;
  /** What keys and values are kept as. */
  readonly kvDtype: KvDtype;
  /** Of a tier in memory. */
  readonly tierBytes: number;
  /** What each part is stored as, or declared to be. */
  readonly dtypes: Readonly<Partial<Record<ModelPart, readonly string[]>>>;
  readonly rows: readonly RankBytesRow[];
}

/** A folder. */
export interface Inspection {
  readonly dir: string;
  readonly config: JsonObject;
  /** Null: it can't be run. */
  readonly model: ModelFacts | null;
  readonly stored: StoredFiles | null;
  /** Whether all weights are there. */
  readonly isWhole: boolean;
  /** Parts of published models that aren't run here, and tensors to which the configuration gives no meaning. */
  readonly skipped: readonly string[];
  readonly unknownTensors: readonly string[];
  readonly text: TextFacts | null;
  readonly problems: readonly Problem[];
  /** Fields of config.json that turn on what the family doesn't have. */
  readonly mechanisms: readonly string[];
  readonly machineBytes: number;
}

/** @param numbers of ranks. @throws WeightError for a folder without a config.json; ConfigError for limits, or names of tensors, that the model doesn't have; PluginError */
export async function inspectFolder(config: ExpertwireConfig, numbers: readonly number[]): Promise<Inspection> {
  const files = await readModelFiles(config.model);
  const whole = withQuantConfig(files.config, files.quantConfig);
  const problems: Problem[] = [];
  const note = (part: Problem['part'], error: Error & { readonly code: string }): void =>
    void problems.push({ part, code: error.code, message: error.message });
  const { registry } = await pluginsOf(config.plugins);
  checkNames(config, registry.names);
  const families = await familiesOf(registry);
  const spec = specOf(
    whole,
    (given) => openGate(config, registry, modelSpecOf(given, config.model_overrides, families)).spec,
    (error) => note('model', error),
  );
  if (spec !== null) checkOverrides(config, spec);
  const text = await inspectText(files, spec, (error) => note('tokenizer', error));
  const machineBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  return withStored(config.model, spec, whole, ({ stored, known, isWhole, unused, problems: ofWeights }) => {
    for (const error of ofWeights) note('weights', error);
    return {
      ...{ dir: config.model, config: files.config, stored, isWhole, text, problems, machineBytes },
      ...{ skipped: unused.skipped, unknownTensors: unused.unknown, mechanisms: spec === null ? foreign(files) : [] },
      model: spec && known && modelFacts(spec, known, config, numbers, machineBytes),
    };
  });
}

function specOf(
  whole: JsonObject,
  make: (config: JsonObject) => ModelSpec,
  onProblem: (error: ModelError) => void,
): ModelSpec | null {
  try {
    return make(whole);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    onProblem(error);
    return null;
  }
}

/** What isn't a field of the family, if there is one. */
function foreign({ config }: ModelFiles): string[] {
  const type = String(config.model_type);
  const known = Object.hasOwn(FAMILIES, type) ? FAMILIES[type]!.fields : [];
  const found = mechanismsOf(config).filter(({ field }) => !known.includes(field));
  return found.map(({ field, what }) => `${field} (${what})`);
}

function modelFacts(
  spec: ModelSpec,
  weights: KnownWeights,
  config: ExpertwireConfig,
  numbers: readonly number[],
  machineBytes: number,
): ModelFacts {
  const limits = limitsOf(config, spec);
  const shape = {
    ...{ spec, weights, limits, kvDtype: config.engine.kv_dtype },
    tierBytes: kvTierSizes(config.engine.kv_tiers).ramBytes ?? 0,
    ...{ machineBytes, numCores: availableParallelism() },
    numRedundantExperts: config.experts.num_redundant_experts,
    slices: config.experts.slices,
    wish: {
      compute: config.compute,
      experts: config.experts.resident,
      dense: config.dense.resident,
      overrides: overridesOf(config.resident_overrides),
    },
    maxResidentBytes: config.experts.max_resident_bytes,
    warm: warmWishOf(config.experts),
    numMovingLayers: config.load_balance.enabled ? config.load_balance.layer_updates_per_step : 0,
  };
  return {
    ...{
      spec,
      limits,
      kvDtype: shape.kvDtype,
      tierBytes: shape.tierBytes,
      parameters: parametersOf(spec),
      dtypes: dtypesByPart(weights),
    },
    rows: rankBytes(shape, numbers),
  };
}

/** Of matrices: vectors are read as float32 everywhere. */
function dtypesByPart(weights: KnownWeights): ModelFacts['dtypes'] {
  const found = new Map<ModelPart, Set<string>>();
  for (const { name, shape, dtype } of weights.infos(() => true)) {
    if (shape.length !== 2) continue;
    const part = partOf(name);
    found.set(part, (found.get(part) ?? new Set()).add(dtype));
  }
  const parts = MODEL_PARTS.filter((part) => found.has(part));
  return Object.fromEntries(parts.map((part) => [part, [...found.get(part)!].sort()]));
}
