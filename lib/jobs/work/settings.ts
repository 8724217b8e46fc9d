/** Which keys of the configuration a job may set. Pure. */
import { printable } from '../../../base/foreign_text.js';
import { pathText } from '../../config/layers.js';
import { overrideLayer } from '../../config/yaml_source.js';
import { JobError } from '../base/errors.js';
import type { ValueKind } from './command_lines.js';

/** A setting that leads somewhere. */
export interface SettingPath {
  readonly key: string;
  readonly value: unknown;
  readonly kind: ValueKind;
}

/** What a key is. Sections that aren't here are none of a job's: routers, instances, where the bus is. */
const SECTIONS: Readonly<Record<string, ValueKind>> = {
  ...{ 'comm.tls': 'code', 'engine.kv_tiers': 'code', plugins: 'code' },
  ...{ server: 'text', 'server.tls': 'code', 'server.journal': 'code', 'server.record_dir': 'code' },
  'server.batches.folder': 'code',
  ...{ model: 'model', 'experts.placement': 'placement', 'experts.routing': 'routing' },
  ...{ model_overrides: 'text', backend: 'text', webgpu: 'text', compute: 'text', kernels: 'text', parallel: 'text' },
  ...{
    elastic: 'text',
    experts: 'text',
    dense: 'text',
    resident_overrides: 'text',
    load_balance: 'text',
    comm: 'text',
    engine: 'text',
    generate: 'text',
  },
};

/** The kind of a key: that of the nearest section around it. Null: a job may not set it. */
export function kindOfSetting(path: readonly string[]): ValueKind | null {
  for (let length = path.length; length > 0; length--) {
    const kind = SECTIONS[pathText(path.slice(0, length))];
    if (kind !== undefined) return kind;
  }
  return null;
}

/**
 * What a `--set` sets, key by key.
 * @throws JobError NOT_ALLOWED for a key that is none of a job's; ConfigError where it is no setting
 */
export function settingPaths(setting: string): readonly SettingPath[] {
  return leavesOf(overrideLayer(setting).values).map(({ path, value }) => {
    const kind = kindOfSetting(path);
    const key = pathText(path);
    if (kind !== null) return { key, value, kind };
    throw new JobError('NOT_ALLOWED', `--set ${printable(setting)}: jobs don't set "${printable(key)}"; leave it out`);
  });
}

/** A key that has no keys of its own, or whose kind counts for all of it. */
export interface Leaf {
  readonly path: readonly string[];
  readonly value: unknown;
}

/** A section is gone through; whatever else stands there is a leaf. */
export function leavesOf(value: unknown, path: readonly string[] = []): readonly Leaf[] {
  const isSection = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isSection || Object.keys(value).length === 0) return [{ path, value }];
  return Object.entries(value).flatMap(([name, each]) => leavesOf(each, [...path, name]));
}
