/** What the head knows of a model before any rank runs, and whether a request fits it: mistakes in a prompt are told before processes start. */
import { checkNames } from '../config/name_check.js';
import { ConfigError } from '../config/errors.js';
import { kvTierSizes } from '../config/kv_tiers_schema.js';
import type { ExpertwireConfig } from '../config/schema.js';
import { generationEosTokenIds } from '../model/spec/hf_config.js';
import { checkFolder } from '../model/stored/check_folder.js';
import { withQuantConfig } from '../model/spec/quantization.js';
import { modelSpecOf } from '../model/families/registry.js';
import { ropeWithin } from '../model/spec/rope_angles.js';
import type { ModelSpec } from '../model/spec/spec.js';
import { overrideProblem } from '../model/weights/override_check.js';
import { overridesOf } from '../model/weights/resident_overrides.js';
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js';
import { codecTrials, type CodecTrial } from '../plugins/codec_trial.js';
import { familiesOf } from '../plugins/families.js';
import { openGate, type JobGate } from '../plugins/gates.js';
import type { LoadedPlugins } from '../plugins/load_plugins.js';
import { PluginRegistry } from '../plugins/plugin_registry.js';
import { proofsOf } from '../plugins/job_plugins.js';
import { modelFingerprint } from '../weights/model_fingerprint.js';
import { readModelFiles } from '../weights/model_files.js';
import { EngineError } from '../protocol/errors.js';
import { limitsOf, type EngineLimits, mostTokensOf } from '../protocol/limits.js';
import { checkListed, checkTokenIds, MAX_LISTED_TOKENS } from '../protocol/sampling.js';
import { storeIdentityOf } from './kv/store_identity.js';
import { checkRouterLogits } from './hooks/router_logits_hook.js';
import type { CheckedGeneration } from './request_check.js';

/** A model folder that was read and checked. */
export interface OpenedModel {
  readonly spec: ModelSpec;
  /** Undefined where the model folder has none. */
  readonly tokenizer: Tokenizer | undefined;
  readonly limits: EngineLimits;
  /** What the configuration's plug-ins brought. */
  readonly plugins: LoadedPlugins;
  /** Chooses experts instead of the model's own gate; null: nobody does. `spec` has its number of choices per token. */
  readonly gate: JobGate | null;
  /** What the wire's codecs of plug-ins did here. */
  readonly codecs: readonly CodecTrial[];
  /** Equal for instances of a cluster with the same model; null: this is none, or its folder has no weights. */
  readonly fingerprint: string | null;
  /** Equal where blocks on disk have the same bytes; null: none are kept there, or the folder has no weights. */
  readonly storeIdentity: string | null;
}

/**
 * Reads a model folder's JSON files and headers and checks that configuration, model and tokenizer fit each other. A sequence ends with any token that config.json,
 * generation_config.json or the tokenizer names as an end.
 * @throws ConfigError, PluginError, WeightError, ModelError, TokenizerError; CommError CODEC_FAILED
 */
export async function openModel(config: ExpertwireConfig): Promise<OpenedModel> {
  const plugins = await pluginsOf(config.plugins);
  checkNames(config, plugins.registry.names);
  const families = await familiesOf(plugins.registry);
  const { config: hfConfig, configBytes, generationConfig, quantConfig } = await readModelFiles(config.model);
  const ownSpec = modelSpecOf(withQuantConfig(hfConfig, quantConfig), config.model_overrides, families);
  const tokenizer = await loadTokenizer(config.model);
  tokenizer?.checkVocab(ownSpec.vocabSize);
  const ends = [
    ...ownSpec.eosTokenIds,
    ...generationEosTokenIds(generationConfig),
    ...(tokenizer?.eosId === undefined ? [] : [tokenizer.eosId]),
  ];
  const codecs = codecTrials(config.comm.wire, plugins.registry, ownSpec.hiddenSize);
  await checkFolder(config.model, ownSpec);
  checkOverrides(config, ownSpec);
  const limits = limitsOf(config, ownSpec);
  const rope = ropeWithin(ownSpec.rope, limits.maxModelLen);
  const { spec, gate } = openGate(config, plugins.registry, ownSpec);
  const whole = { ...withLessWork(spec, config), rope, eosTokenIds: [...new Set(ends)] };
  const { gate: named, skip_threshold: skips, defer } = config.experts;
  const routing = skips === 0 && defer === 0 ? named : { gate: named, skips, ...(defer > 0 && { defer }) };
  const preamble = [configBytes, Buffer.from(JSON.stringify(routing)), ...proofsOf(plugins.plugins)];
  const fingerprint = config.cluster.enabled ? await modelFingerprint(config.model, preamble) : null;
  const hasFiles = kvTierSizes(config.engine.kv_tiers).disk !== null;
  const storeIdentity = hasFiles ? await storeIdentityOf(config.model, preamble) : null;
  return { spec: whole, tokenizer, limits, plugins, gate, codecs, fingerprint, storeIdentity };
}

/** @throws ConfigError INVALID_VALUE for an override that nothing is kept by */
export function checkOverrides({ resident_overrides: globs }: ExpertwireConfig, spec: ModelSpec): void {
  const problem = overrideProblem(overridesOf(globs), spec);
  if (problem === null) return;
  throw new ConfigError('INVALID_VALUE', `"resident_overrides" ${problem}`, { key: 'resident_overrides' });
}

/** The gate of a job skips what `experts.skip_threshold` says, and `experts.defer` says what comes later. @throws ConfigError INVALID_VALUE where all choices would */
function withLessWork(spec: ModelSpec, { experts }: ExpertwireConfig): ModelSpec {
  const { skip_threshold: skipThreshold, defer: numDeferred } = experts;
  const { gate } = spec.moe;
  if (numDeferred > 0 && numDeferred >= gate.numTopk) {
    const choices =
      gate.numTopk === 1 ? 'one choice; set it to 0' : `${gate.numTopk} choices; give at most ${gate.numTopk - 1}`;
    const what = `"experts.defer" is ${numDeferred}, and tokens have ${choices}`;
    throw new ConfigError('INVALID_VALUE', what, { key: 'experts.defer' });
  }
  const less = { ...(skipThreshold > 0 && { skipThreshold }), ...(numDeferred > 0 && { numDeferred }) };
  return Object.keys(less).length === 0 ? spec : { ...spec, moe: { ...spec.moe, gate: { ...gate, ...less } } };
}

/**
 * What a configuration's plug-ins bring. The loader, and what reads a module's imports, are loaded for those who have some.
 * @throws PluginError
 */
export async function pluginsOf(entries: ExpertwireConfig['plugins']): Promise<LoadedPlugins> {
  if (entries.length === 0) return { registry: new PluginRegistry(), plugins: [] };
  const { loadPlugins } = await import('../plugins/load_plugins.js');
  return loadPlugins(entries);
}

/**
 * Whether the model of a folder can go on with a prompt.
 * @throws EngineError INVALID_REQUEST, CONTEXT_LENGTH_EXCEEDED; NO_TOKENIZER for stop strings where the folder has none
 */
export function checkGeneration(
  request: CheckedGeneration,
  model: Pick<OpenedModel, 'spec' | 'tokenizer' | 'limits'>,
  folder: string,
): void {
  const { promptTokenIds, maxNewTokens, stop = [], stopTokenIds = [] } = request;
  if (promptTokenIds.length === 0) {
    throw new EngineError('INVALID_REQUEST', 'the prompt is empty: give at least one token');
  }
  checkLength(request);
  if (stop.length > 0 && model.tokenizer === undefined) {
    throw new EngineError('NO_TOKENIZER', `${folder} has no tokenizer, which stop strings need`);
  }
  checkTokenIds('output_token_ids', request.outputTokenIds ?? [], model.spec.vocabSize);
  checkListed('stop_token_ids', stopTokenIds, MAX_LISTED_TOKENS);
  checkTokenIds('stop_token_ids', stopTokenIds, model.spec.vocabSize);
  checkTokens(promptTokenIds, maxNewTokens, model);
  checkRouterLogits(request, model.spec);
}

/** No token at all is asked for by those alone who ask for the prompt's log-probabilities. */
function checkLength({ maxNewTokens, promptLogprobs, sampling = {} }: CheckedGeneration): void {
  const least = promptLogprobs === undefined ? 1 : 0;
  if (!Number.isSafeInteger(maxNewTokens) || maxNewTokens < least) {
    throw new EngineError('INVALID_REQUEST', `max_new_tokens is ${maxNewTokens}; give a whole number from ${least}`);
  }
  const { minTokens = 0 } = sampling;
  if (minTokens <= maxNewTokens) return;
  const reason = `min_tokens is ${minTokens}, and max_new_tokens ${maxNewTokens}`;
  throw new EngineError('INVALID_REQUEST', `${reason}; lower the first or raise the second`);
}

/** @throws EngineError INVALID_REQUEST for an id that the model doesn't have, CONTEXT_LENGTH_EXCEEDED */
export function checkTokens(
  tokenIds: readonly number[],
  maxNewTokens: number,
  { spec, limits }: Pick<OpenedModel, 'spec' | 'limits'>,
): void {
  const { vocabSize, maxPositions } = spec;
  const { maxModelLen } = limits;
  const wrong = tokenIds.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize);
  if (wrong >= 0) {
    throw new EngineError(
      'INVALID_REQUEST',
      `token id ${tokenIds[wrong]!} is outside the model's vocabulary 0 … ${vocabSize - 1}`,
    );
  }
  const numTokens = tokenIds.length + maxNewTokens;
  const most = mostTokensOf(limits);
  if (numTokens <= most) return;
  const isContext = most === maxModelLen;
  const advice = ['shorten the prompt', 'lower max_new_tokens'];
  if (!isContext) advice.push('raise engine.num_kv_blocks');
  else if (maxModelLen < maxPositions) advice.push('raise engine.max_model_len');
  throw new EngineError(
    'CONTEXT_LENGTH_EXCEEDED',
    `${tokenIds.length} prompt tokens and ${maxNewTokens} new ones are ${numTokens}, and ` +
      `${isContext ? 'the context has' : 'the KV cache of a rank has room for'} ${most}; ${advice.join(' or ')}`,
  );
}
