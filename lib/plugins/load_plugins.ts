/** From the paths of plug-ins to what they bring. */
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { causeText, printable, shown } from '../../base/foreign_text.js';
import type { ConfigPlugin } from '../config/schema.js';
import { PluginError } from './errors.js';
import type { Plugin } from './plugin.js';
import { readPluginCode, type JobPlugin, type PluginCode, type ReadCode } from './plugin_code.js';
import { PluginRegistry } from './plugin_registry.js';
import { syntaxPlace } from './syntax_place.js';

/** What was loaded. */
export interface LoadedPlugins {
  readonly registry: PluginRegistry;
  /** In the order of their entries. */
  readonly plugins: readonly JobPlugin[];
}

/** How plug-ins are loaded. */
export interface LoadPluginsOptions {
  /** Told the code of each before any of it runs. Where it throws, none does. */
  readonly onCode?: (code: PluginCode, entry: ConfigPlugin, index: number) => void;
  /** How long a plug-in may take to register. Default 10000. */
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;

/** One after the other. @throws PluginError INVALID_PLUGIN; what `onCode` throws */
export async function loadPlugins(
  entries: readonly ConfigPlugin[],
  { onCode, timeoutMs = DEFAULT_TIMEOUT_MS }: LoadPluginsOptions = {},
): Promise<LoadedPlugins> {
  const registry = new PluginRegistry();
  const codes = await Promise.all(entries.map(({ path }) => readPluginCode(path)));
  for (const [i, entry] of entries.entries()) onCode?.(codes[i]!, entry, i);
  for (const [i, { path, options }] of entries.entries()) {
    const register = await functionOf(path, codes[i]!, timeoutMs);
    // A copy: what a plug-in does to it is its own.
    const filling = registry.fill(path, register, structuredClone(options)).catch((cause: unknown) => {
      if (cause instanceof PluginError) throw cause;
      throw invalid(path, `its function threw: ${causeText(cause)}; mend it`, cause);
    });
    await within(timeoutMs, path, 'register what it brings', filling);
  }
  const plugins = entries.map((entry, i) => {
    const { digest, files } = codes[i]!;
    return { ...entry, code: { digest, files } };
  });
  return { registry, plugins };
}

/** The module's default export. */
async function functionOf(path: string, { digest, files, unreadable }: ReadCode, timeoutMs: number): Promise<Plugin> {
  checkLanguage(path);
  const url = pathToFileURL(path);
  url.searchParams.set('code', digest.slice(0, 16)); // Node keeps what it loaded: changed code is another module
  const loading = import(url.href).then(
    (loaded: unknown) => ({ module: loaded as { readonly default?: unknown } }),
    (cause: unknown) => ({ cause }),
  );
  const loaded = await within(timeoutMs, path, 'load', loading);
  if ('cause' in loaded) {
    const { cause } = loaded;
    throw invalid(path, `it can't be loaded: ${await whyNot(path, files, cause)}; mend it`, cause);
  }
  const { module } = loaded;
  if (unreadable !== null) throw invalid(path, `what ${unreadable} imports can't be told; write it as an ES module`);
  if (typeof module.default !== 'function') {
    const names = Object.keys(module).join(', ') || 'nothing';
    const got =
      'default' in module
        ? `its default export is ${shown(module.default)}`
        : `it has no default export (it exports ${names})`;
    throw invalid(path, `${got}; write: export default (api, options) => { api.registerGate('my_gate', …); }`);
  }
  return module.default as Plugin;
}

/** Node 20 runs no TypeScript. */
function checkLanguage(path: string): void {
  const { typescript } = process.features as { readonly typescript?: unknown };
  if (!/^\.[cm]?tsx?$/.test(extname(path)) || (typescript !== undefined && typescript !== false)) return;
  const text = `it is TypeScript, which this Node (${process.version}) doesn't run; compile it to .mjs, or use Node 22.18 or newer`;
  throw invalid(path, text);
}

/** For a mistake in its syntax, the place too. */
async function whyNot(path: string, files: PluginCode['files'], cause: unknown): Promise<string> {
  const text = causeText(cause);
  if (!(cause instanceof Error)) return text;
  const place = cause instanceof SyntaxError ? await syntaxPlace(path, Object.keys(files)) : null;
  return `${cause.name}: ${text}${place === null ? '' : ` at ${printable(place)}`}`;
}

/** Whatever a plug-in waits for may never come. */
async function within<T>(timeoutMs: number, plugin: string, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const text = `it did not ${what} within ${timeoutMs} ms; it must not wait for anything that may not come`;
    timer = setTimeout(() => reject(invalid(plugin, text)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const invalid = (plugin: string, text: string, cause?: unknown): PluginError =>
  new PluginError('INVALID_PLUGIN', text, { plugin, cause });
