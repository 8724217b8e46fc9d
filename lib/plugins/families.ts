/** Families of plug-ins: only the head makes a spec of config.json; ranks get it as data. Why: docs/decisions/plugins.md#a-family-gives-data */
import { shown } from '../../base/foreign_text.js';
import { valueAt } from '../../base/foreign_value.js';
import { FAMILIES, modelSpecOf } from '../model/families/registry.js';
import type { ModelSpec } from '../model/spec/spec.js';
import { failed, given, kindOf } from './calls.js';
import { PluginError } from './errors.js';
import type { MakesSpec, PluginRegistry, Registered } from './plugin_registry.js';

/**
 * What makes a spec of config.json, by `model_type`.
 * @throws PluginError INVALID_PLUGIN for a name that is there without plug-ins
 */
export async function familiesOf({
  families,
}: Pick<PluginRegistry, 'families'>): Promise<ReadonlyMap<string, (config: unknown) => ModelSpec>> {
  if (families.size === 0) return new Map();
  const { specSchema } = await import('./spec_schema.js');
  for (const [name, { plugin, brought }] of families) {
    if (!Object.hasOwn(FAMILIES, name)) continue;
    throw new PluginError('INVALID_PLUGIN', 'is there without plug-ins; choose another name', { plugin, brought });
  }
  const specOf = (owner: Registered<MakesSpec>) => (config: unknown) => {
    const copy = structuredClone(config) as Readonly<Record<string, unknown>>; // what it writes over is its own
    const made: unknown = given(owner, '', () => owner.value(copy, (other) => modelSpecOf(other)));
    const { data, error } = specSchema.safeParse(made);
    if (error === undefined) return { ...data, modelType: owner.brought.name };
    const { path, message } = error.issues[0]!;
    if (path.length === 0) throw failed(owner, `gave ${kindOf(made)} as a spec: ${message}; give what a spec says`);
    throw failed(
      owner,
      `gave a spec whose ${path.map(String).join('.')} is ${shown(valueAt(made, path))}: ${message}; give what a spec says`,
    );
  };
  return new Map([...families].map(([name, owner]) => [name, specOf(owner)]));
}
