/**
 * What a plug-in's code is: its file and all that it imports by path, read and hashed before any of it runs.
 * Why: docs/decisions/plugins.md#a-hash-of-what-is-imported-by-path
 */
import { createHash } from 'node:crypto';
import { readFile, realpath } from 'node:fs/promises';
import { dirname, extname, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { causeText } from '../../base/foreign_text.js';
import type { DynamicImport, StaticImport } from 'es-module-lexer';
import type { ConfigPlugin } from '../config/schema.js';
import { PluginError } from './errors.js';

/** Equal on two machines for the same code. */
export interface PluginCode {
  /** SHA-256 of all files, 64 hexadecimal digits. */
  readonly digest: string;
  /** By path from the folder of the plug-in's own file: the SHA-256 of each. */
  readonly files: Readonly<Record<string, string>>;
}

/** A plug-in of a job, as every rank is told of it. */
export interface JobPlugin extends ConfigPlugin {
  /** The head's. */
  readonly code: PluginCode;
}

/** Code, and how far it could be read. */
export interface ReadCode extends PluginCode {
  /** A file whose imports could not be told, so that the hash may lack some; null: there is none. */
  readonly unreadable: string | null;
}

/** More is a slip: an import of somebody's whole project. */
const MAX_FILES = 1000;

/** What has imports of its own. */
const MODULES: ReadonlySet<string> = new Set(['.js', '.mjs', '.ts', '.mts']);

/**
 * Reads a module and what it imports by path, and what that imports. What it imports by name is of a package, and isn't read, nor what it opens itself.
 * @throws PluginError INVALID_PLUGIN for a file that can't be read, and for too many
 */
export async function readPluginCode(plugin: string): Promise<ReadCode> {
  const files = new Map<string, string>();
  let unreadable: string | null = null;
  let folder: string | null = null;
  const queue: Wanted[] = [{ path: plugin, by: null }];
  for (let wanted = queue.shift(); wanted !== undefined; wanted = queue.shift()) {
    const { path, bytes } = await read(plugin, wanted);
    folder ??= dirname(path);
    const name = relative(folder, path);
    if (files.has(name)) continue;
    if (files.size === MAX_FILES) {
      const text = `it imports more than ${MAX_FILES} files; bundle it, or import packages by their names`;
      throw new PluginError('INVALID_PLUGIN', text, { plugin });
    }
    files.set(name, sha256(bytes));
    if (!MODULES.has(extname(path))) continue;
    const paths = await pathsIn(bytes.toString('utf8'));
    if (paths === null) unreadable ??= name;
    for (const each of paths ?? []) queue.push({ path: pathOf(each, path), by: name });
  }
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1));
  return { digest: sha256(JSON.stringify(sorted)), files: Object.fromEntries(sorted), unreadable };
}

interface Wanted {
  readonly path: string;
  /** The file that imports it; null: the plug-in itself. */
  readonly by: string | null;
}

/** Under the name that Node knows it by: where a link leads. */
async function read(plugin: string, wanted: Wanted): Promise<{ readonly path: string; readonly bytes: Buffer }> {
  try {
    const path = await realpath(wanted.path);
    return { path, bytes: await readFile(path) };
  } catch (cause) {
    const what = wanted.by === null ? 'its file' : `${wanted.path}, which ${wanted.by} imports,`;
    const text = `${what} can't be read (${causeText(cause)}); give the path of a module whose imports are there`;
    throw new PluginError('INVALID_PLUGIN', text, { plugin, cause });
  }
}

/** The specifiers of a module that are paths; null where it is none. */
async function pathsIn(text: string): Promise<string[] | null> {
  const { init, parse } = await import('es-module-lexer');
  await init();
  try {
    const [imports] = parse(text);
    const names = imports.map((each) => (each.type === 'import-meta' || isLeftOut(each) ? null : each.specifier));
    return names.filter((name): name is string => typeof name === 'string' && /^(\.{0,2}\/|file:)/.test(name));
  } catch {
    return null;
  }
}

/** Types vanish when code is run, and a pattern is no file. */
const isLeftOut = (each: StaticImport | DynamicImport): boolean =>
  each.type === 'dynamic' ? each.glob : each.typeOnly;

function pathOf(specifier: string, from: string): string {
  const url = new URL(specifier, pathToFileURL(from));
  url.search = '';
  url.hash = '';
  return fileURLToPath(url);
}

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
