/** What a plug-in throws while nobody waits for it: in a timer, in a listener, in a promise that it doesn't await. */
import { fileURLToPath } from 'node:url';
import { causeText } from '../../base/foreign_text.js';
import { PluginError } from './errors.js';

/** How a plug-in's file stands in a stack: `loadPlugins` loads it under a name that nothing else has. */
const PLUGIN_FILE = /(file:\/\/\S+?)\?code=[0-9a-f]{16}/;

/** Whose it is: by its name (classes of a bundle are others), or where the first file of a plug-in stands in its stack; null: no plug-in's. */
export function strayError(error: unknown): Error | null {
  if (!(error instanceof Error)) return null;
  if (error.name === PluginError.name) return error;
  const file = PLUGIN_FILE.exec(error.stack ?? '')?.[1];
  if (file === undefined) return null;
  const text = `threw while nobody waited for it (in a timer, a listener or a promise): ${causeText(error)}; catch it there`;
  return new PluginError('PLUGIN_FAILED', text, { plugin: fileURLToPath(file), cause: error });
}
