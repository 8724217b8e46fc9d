import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { closest } from 'fastest-levenshtein';
import * as z from 'zod';
import { causeText, shown, textOf } from '../../base/foreign_text.js';
import { valueAt } from '../../base/foreign_value.js';
import { PLACEMENT_STRATEGIES } from '../../experts/placement/placement.js';
import type { Environment } from '../hub/cache/hub_cache.js';
import { ConfigError } from './errors.js';
import { instanceLayer, placedInstances } from './instances.js';
import { isNear, mergeLayers, pathText, type Layer, type Merged, type Origin } from './layers.js';
import { modelFolder } from './model_folder.js';
import { checkNames } from './name_check.js';
import { isRoutingText, ROUTING_ALLOWED } from './routing_text.js';
import type { KvTiers } from './kv_tiers_schema.js';
import { errorOfIssue } from './schema_error.js';
import { configSchema, type ConfigPlugin, type ExpertwireConfig } from './schema.js';

/** A configuration of which any key may be absent. */
export type PartialConfig = {
  readonly [K in keyof ExpertwireConfig]?:
    | (ExpertwireConfig[K] extends string | readonly unknown[]
        ? z.input<typeof configSchema>[K]
        : PartialSection<ExpertwireConfig[K]>)
    | undefined;
};

/** A section of which any key may be absent. */
export type PartialSection<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Where the parts of a configuration come from. All may be left out. */
export interface LoadConfigOptions {
  /** Values that count where nobody gave others: they replace defaults. */
  readonly defaults?: PartialConfig | undefined;
  /** Path of a YAML file. Default: none, defaults only. */
  readonly file?: string | undefined;
  /** The name of one of the file's `instances`: its settings are wanted. Default: those of the file as a whole. */
  readonly instance?: string | undefined;
  /** Values that a program gives; `undefined` means that it doesn't. */
  readonly base?: PartialConfig | undefined;
  /** Values of command-line flags; `undefined` means that the flag was not given. */
  readonly flags?: PartialConfig | undefined;
  /** What `--set` was given: 'comm.reduce=source', with the value in YAML. Later ones win. */
  readonly overrides?: readonly string[] | undefined;
  /** Folder that relative paths start from. Default: the process's current working directory. */
  readonly cwd?: string | undefined;
  /** Variables that say where the hub's cache is (HF_HUB_CACHE, HF_HOME), as an environment has them. Default: none, so that it is in the user's home. */
  readonly env?: Environment | undefined;
}

/**
 * Puts a configuration together: defaults of its own < `defaults` < file < its `instance` < base < flags < `--set`, and checks the whole.
 *
 * `model` comes back as an absolute path of an existing folder. A relative one is looked for in the current working
 * directory and, when it stands in a file, then in the file's folder and each folder above it: so a file in `configs/`
 * may say `models/moe-7m` and works from anywhere. A placement file or recording is looked for in the same way. What is no
 * folder may be a name, ORG/NAME or ORG/NAME@REVISION, of a model in the hub's cache. Paths of plug-ins come back absolute too; a
 * relative one starts from the folder of the file that it stands in, and otherwise from the current one.
 *
 * @throws ConfigError with the place, the key, what was got and what is allowed
 */
export async function loadConfig(options: LoadConfigOptions = {}): Promise<ExpertwireConfig> {
  checkOptions(options);
  const cwd = options.cwd ?? process.cwd();
  const layers: Layer[] = [{ values: options.defaults, originOf: () => ({ where: 'loadConfig({ defaults })' }) }];
  if (options.file !== undefined) layers.push(await readFileLayer(options.file, cwd));
  const numOfFile = layers.length;
  layers.push({ values: options.base, originOf: () => ({ where: 'loadConfig({ base })' }) });
  layers.push({ values: options.flags, originOf: () => ({ where: 'command line' }) });
  layers.push(...(await overrideLayers(options.overrides ?? [])));

  const isCommandLine = options.flags !== undefined;
  const checked = ofInstance(checkedLayers(layers, isCommandLine), options.instance, (layer) =>
    checkedLayers(layers.toSpliced(numOfFile, 0, layer), isCommandLine),
  );
  return withFound(checked, cwd, options.env ?? {});
}

/**
 * Like {@link loadConfig}, from layers that somebody else read: later ones win. Entries of `instances` are checked with the rest, but not laid over it.
 *
 * @throws ConfigError with the place that a layer says
 */
export function configOfLayers(
  layers: readonly Layer[],
  { cwd, env }: { readonly cwd: string; readonly env: Environment },
): ExpertwireConfig {
  return withFound(checkedLayers(layers, false), cwd, env);
}

/** With the paths of what it names. @throws ConfigError for what isn't there */
function withFound({ config, merged }: Checked, cwd: string, env: Environment): ExpertwireConfig {
  const { model, experts } = config;
  const placement = findPlacement(experts.placement, merged.originOf(['experts', 'placement']), cwd);
  const routing = findRouting(experts.routing, merged.originOf(['experts', 'routing']), cwd);
  const plugins = findPlugins(config.plugins, merged, cwd);
  if (plugins.length === 0) checkNames(config, new Map(), (path) => merged.originOf(path));
  const modelOrigin = merged.originOf(['model']);
  return Object.freeze({
    ...config,
    plugins,
    model: modelFolder(model, { env, candidates: candidatesFor(model, modelOrigin, cwd), origin: modelOrigin }),
    experts: Object.freeze({ ...experts, placement, routing }),
    engine: Object.freeze({ ...config.engine, kv_tiers: findTiers(config.engine.kv_tiers, cwd) }),
  });
}

interface Checked {
  readonly config: z.infer<typeof configSchema>;
  readonly merged: Merged;
}

/** @throws ConfigError */
function checkedLayers(layers: readonly Layer[], isCommandLine: boolean): Checked {
  const merged = mergeLayers(layers);
  const checked = configSchema.safeParse(merged.tree);
  if (!checked.success) throw errorOfIssue(checked.error.issues[0]!, merged, isCommandLine);
  return { config: checked.data, merged };
}

/** The whole file's settings, of which all that `instances` change is checked too; or those of one instance. @throws ConfigError */
function ofInstance(whole: Checked, instance: string | undefined, checkedWith: (layer: Layer) => Checked): Checked {
  const { config, merged } = whole;
  const originOf = (path: readonly PropertyKey[]): Origin | undefined => merged.originOf(path);
  const checkedOf = (name: string): Checked => checkedWith(instanceLayer(config, name, originOf));
  if (instance !== undefined) return checkedOf(instance);
  const ownSettings = placedInstances(config, originOf).filter(
    ({ index }, i, all) => Object.keys(config.instances[index]!.set).length > 0 && all[i - 1]?.index !== index,
  );
  for (const { name } of ownSettings) checkedOf(name);
  return whole;
}

const values = z.looseObject({}, { error: 'an object with keys of the configuration' }).optional();
const optionsSchema = z.strictObject(
  {
    file: z.string({ error: 'the path of a YAML file' }).optional(),
    base: values,
    instance: z.string({ error: 'the name of an instance' }).optional(),
    flags: values,
    overrides: z.array(z.string({ error: 'a text' }), { error: "a list of 'key=value'" }).optional(),
    cwd: z.string({ error: 'the path of a folder' }).optional(),
    defaults: values,
    env: z.looseObject({}, { error: 'variables of an environment' }).optional(),
  },
  { error: 'an object' },
);

/** A caller's language may have no types. @throws ConfigError */
function checkOptions(options: unknown): void {
  const issue = optionsSchema.safeParse(options).error?.issues[0];
  if (issue === undefined) return;
  if (issue.code === 'unrecognized_keys') {
    const known = Object.keys(optionsSchema.shape).join(', ');
    throw new ConfigError('UNKNOWN_KEY', `loadConfig has no option "${issue.keys[0]!}"; its options are ${known}`);
  }
  const path = issue.path.map(String).join('.');
  const got = valueAt(options, issue.path);
  const what = path === '' ? 'its options are' : `"${path}" is`;
  throw new ConfigError('WRONG_TYPE', `loadConfig: ${what} ${shown(got)}; give ${issue.message}`);
}

/** Whether something is what {@link loadConfig} returns. @throws ConfigError naming what it lacks */
export function checkConfig(config: unknown): asserts config is ExpertwireConfig {
  const issue = configSchema.safeParse(config).error?.issues[0];
  if (issue === undefined) return;
  const key = pathText(issue.path);
  const what = key === '' ? `it is ${shown(config)}` : `"${key}" is missing or wrong`;
  throw new ConfigError('INVALID_VALUE', `"config" is not what loadConfig returns: ${what}; call loadConfig`, { key });
}

/** The layer of a YAML file. @throws ConfigError NOT_FOUND, INVALID_YAML */
export async function readFileLayer(file: string, cwd: string): Promise<Layer> {
  const text = await readYamlText(file, cwd);
  const { yamlFileLayer } = await import('./yaml_source.js');
  return yamlFileLayer(text, file);
}

/** The text of a YAML file that somebody names. @throws ConfigError NOT_FOUND */
export async function readYamlText(file: string, cwd: string): Promise<string> {
  const read = readFile(resolve(cwd, file)).then(textOf);
  return read.catch((cause: unknown) => {
    throw new ConfigError('NOT_FOUND', `${file} cannot be read (${causeText(cause)}); give the path of a YAML file`, {
      file,
      cause,
    });
  });
}

/** The library for YAML is large: it is loaded for those who write some. */
async function overrideLayers(overrides: readonly string[]): Promise<Layer[]> {
  if (overrides.length === 0) return [];
  const { overrideLayer } = await import('./yaml_source.js');
  return overrides.map(overrideLayer);
}

/** A strategy's name as it is, or the absolute path of a file. */
function findPlacement(placement: string, origin: Origin | undefined, cwd: string): string {
  const strategies: readonly string[] = PLACEMENT_STRATEGIES;
  if (strategies.includes(placement)) return placement;
  const candidates = candidatesFor(placement, origin, cwd);
  const found = candidates.find((path) => existsSync(path) && statSync(path).isFile());
  if (found !== undefined) return found;
  const nearest = closest(placement, strategies);
  const advice = isNear(placement, nearest) ? `did you mean "${nearest}"?` : `looked for ${candidates.join(', ')}`;
  throw new ConfigError(
    'INVALID_VALUE',
    `${origin?.where ?? 'defaults'}: "experts.placement" is ${shown(placement)}, but there is no such file ` +
      `(${advice}); give ${strategies.join(', ')} or the path of a placement file`,
    { key: 'experts.placement', file: origin?.file, line: origin?.line },
  );
}

/** What is no file as it is, or the absolute path of a recording. */
function findRouting(routing: string, origin: Origin | undefined, cwd: string): string {
  if (isRoutingText(routing)) return routing;
  const candidates = candidatesFor(routing, origin, cwd);
  const found = candidates.find((path) => existsSync(path) && statSync(path).isFile());
  if (found !== undefined) return found;
  throw new ConfigError(
    'INVALID_VALUE',
    `${origin?.where ?? 'defaults'}: "experts.routing" is ${shown(routing)}, but there is no such file ` +
      `(looked for ${candidates.join(', ')}); give ${ROUTING_ALLOWED}`,
    { key: 'experts.routing', file: origin?.file, line: origin?.line },
  );
}

/** Code is run from where it is said to be, and from nowhere else. */
function findPlugins(plugins: readonly ConfigPlugin[], merged: Merged, cwd: string): readonly ConfigPlugin[] {
  return plugins.map(({ path, options }, i) => {
    const origin = merged.originOf(['plugins', i]);
    const folder = origin?.file === undefined ? cwd : dirname(resolve(cwd, origin.file));
    const file = resolve(folder, path);
    if (existsSync(file) && statSync(file).isFile()) return { path: file, options };
    throw new ConfigError(
      'NOT_FOUND',
      `${origin?.where ?? 'defaults'}: "plugins" has ${shown(path)}, but there is no such file (looked for ${file}); give the path of a module`,
      { key: pathText(['plugins', i]), file: origin?.file, line: origin?.line },
    );
  });
}

/** Folders that may not be there yet, as absolute paths. */
const findTiers = (tiers: KvTiers, cwd: string): KvTiers =>
  tiers.map((tier) => ('disk' in tier ? { disk: { ...tier.disk, path: resolve(cwd, tier.disk.path) } } : tier));

/** Where a path may lead: from the current folder and, when it stands in a file, from that file's folder and each above it. */
export function candidatesFor(path: string, origin: Origin | undefined, cwd: string): readonly string[] {
  const candidates = [resolve(cwd, path)];
  if (origin?.file !== undefined && !isAbsolute(path)) {
    candidates.push(...foldersFrom(dirname(resolve(cwd, origin.file))).map((folder) => join(folder, path)));
  }
  return [...new Set(candidates)];
}

/** A folder and all folders above it. */
function foldersFrom(folder: string): readonly string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...foldersFrom(above)];
}
