/**
 * The folder that `expertwire native install` writes and `backend: tensorflow` loads from. It lies under the user's cache: 0.9 GB that every checkout of
 * one user shares, that outlive `npm ci`, and that need no right to write where a package was installed.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where the native backend of this user is installed. */
export const nativeDir = (): string => join(homedir(), '.cache', 'expertwire', 'native');

/** Under which the npm registry has TensorFlow.js. */
export const TFJS_SCOPE = '@tensorflow';

/** Of tfjs-node, whose binding is built; the other TensorFlow.js packages have the same. */
export const TFJS_VERSION = '4.22.0';

/** What an installed folder holds, relative to it. */
export const NATIVE_FILES = {
  manifest: 'manifest.json',
  binding: 'tfjs_binding.node',
  /** The shared libraries that the binding needs. */
  libraries: 'lib',
  /** The package of @tensorflow/tfjs-node, without its own binding. */
  tfjsNode: 'tfjs-node',
  modules: 'node_modules',
} as const;

/** What was installed, as manifest.json says it. */
export interface NativeManifest {
  /** Of the TensorFlow library, as it names itself: '2.21.0'. */
  readonly tensorflow: string;
  readonly tfjsNode: string;
  /** For which machines: 'linux x64'. */
  readonly platform: string;
}

/** This machine, as a manifest names it. */
export const nativePlatform = (): string => `${process.platform} ${process.arch}`;

/** What is installed in a folder, or null where nothing is. */
export function readNativeManifest(dir: string): NativeManifest | null {
  try {
    return JSON.parse(readFileSync(join(dir, NATIVE_FILES.manifest), 'utf8')) as NativeManifest;
  } catch {
    return null;
  }
}
