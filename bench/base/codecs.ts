/** Codecs of plug-ins that a benchmark measures beside the dtypes. */
import { resolve } from 'node:path';
import { list } from '../../lib/commands/base/numbers.js';
import { PluginRegistry } from '../../lib/plugins/plugin_registry.js';

/** What `--plugins` says. */
export const PLUGINS_OPTION = {
  type: 'string',
  describe: 'paths of plug-ins, whose codecs are measured too: my_codec.mjs,other.mjs',
} as const;

/** What the modules of these paths, or of none, bring, without options. @throws PluginError */
export async function pluginsAt(paths: string | undefined): Promise<PluginRegistry> {
  if (paths === undefined) return new PluginRegistry();
  const { loadPlugins } = await import('../../lib/plugins/load_plugins.js');
  return (await loadPlugins(list(paths).map((path) => ({ path: resolve(path), options: {} })))).registry;
}
