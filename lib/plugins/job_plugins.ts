/** What head and ranks tell each other of plug-ins: ranks run the same code, or none. */
import type { ConfigPlugin } from '../config/schema.js';
import { PluginError } from './errors.js';
import type { JobPlugin, PluginCode } from './plugin_code.js';
import { PluginRegistry } from './plugin_registry.js';

/**
 * Loads what the head did. `paths`: where their files are on this machine, in the same order. Default: where the head has them.
 * @throws PluginError PLUGINS_DIFFER before any code runs that isn't the head's; INVALID_PLUGIN
 */
export async function loadJobPlugins(
  plugins: readonly JobPlugin[],
  paths: readonly string[] = plugins.map(({ path }) => path),
): Promise<PluginRegistry> {
  if (paths.length !== plugins.length) throw otherNumber(plugins, paths);
  if (plugins.length === 0) return new PluginRegistry();
  const { loadPlugins } = await import('./load_plugins.js');
  const entries = plugins.map(({ options }, i) => ({ path: paths[i]!, options }));
  const onCode = (code: PluginCode, { path }: ConfigPlugin, i: number): void => checkCode(path, code, plugins[i]!);
  const { registry } = await loadPlugins(entries, { onCode });
  return registry;
}

/** Of a rank's fingerprint: equal where the same code is given the same options. */
export const proofsOf = (plugins: readonly JobPlugin[]): readonly Uint8Array[] =>
  plugins.map(({ code, options }) => Buffer.from(JSON.stringify([code.digest, options])));

function otherNumber(plugins: readonly JobPlugin[], paths: readonly string[]): PluginError {
  const [plugin = paths[0]!] = plugins.map(({ path }) => path);
  const names = plugins.map(({ path }) => path).join(', ') || 'none';
  const text = `the head's plug-ins are ${plugins.length} (${names}), and here are ${paths.length}; give --plugin once for each, in their order`;
  return new PluginError('PLUGINS_DIFFER', text, { plugin });
}

function checkCode(plugin: string, here: PluginCode, { path, code: heads }: JobPlugin): void {
  if (here.digest === heads.digest) return;
  const names = [...new Set([...Object.keys(heads.files), ...Object.keys(here.files)])];
  const name = names.find((each) => heads.files[each] !== here.files[each])!;
  const text =
    `its code isn't the head's: ${name} is ${textOf(here.files[name])} here and ${textOf(heads.files[name])} there (${path}); ` +
    `copy the head's files to this machine, or name them with --plugin`;
  throw new PluginError('PLUGINS_DIFFER', text, { plugin });
}

const textOf = (hash: string | undefined): string => (hash === undefined ? 'missing' : hash.slice(0, 12));
