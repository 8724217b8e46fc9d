/**
 * The folder that `expertwire native install` writes and `backend: tensorflow` loads from. It lies under the user's cache: 0.8 GB (5.6 with --gpu) that every
 * checkout of one user shares, that outlive `npm ci`, and that need no right to write where a package was installed.
 * Why: docs/decisions/tensorflow.md#the-native-library-lives-in-the-cache-of-the-user
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** Where the native backend of this user is installed: an absolute path, also where HOME is not, since a relative one would be looked for as a package. */
export const nativeDir = (): string => resolve(homedir(), '.cache', 'expertwire', 'native');

/** Under which the npm registry has TensorFlow.js. */
export const TFJS_SCOPE = '@tensorflow';

/** The packages that bring the backend `tensorflow` themselves, in the order in which they are tried. */
export const NATIVE_PACKAGES = [`${TFJS_SCOPE}/tfjs-node-gpu`, `${TFJS_SCOPE}/tfjs-node`] as const;

/** Of tfjs-node, whose binding is built; the other TensorFlow.js packages have the same. */
export const TFJS_VERSION = '4.22.0';

/** What an installed folder holds, relative to it. */
export const NATIVE_FILES = {
  manifest: 'manifest.json',
  binding: 'tfjs_binding.node',
  /** The shared libraries that the binding needs. */
  libraries: 'lib',
  /** NVIDIA's, where TensorFlow's libraries look for them: a folder per part of CUDA. */
  cuda: 'nvidia',
  /** The package of @tensorflow/tfjs-node, without its own binding. */
  tfjsNode: 'tfjs-node',
  modules: 'node_modules',
} as const;

/** Which TensorFlow: the build for processors, or the one for NVIDIA GPUs, which computes on the processor where there is none. */
export type NativeKind = 'cpu' | 'gpu';

/** What was installed, as manifest.json says it. */
export interface NativeManifest {
  readonly kind: NativeKind;
  /** Of the TensorFlow library, as it names itself: '2.21.0'. */
  readonly tensorflow: string;
  readonly tfjsNode: string;
  /** For which machines: 'linux x64'. */
  readonly platform: string;
  /** What was fetched from Python's package index: 'tensorflow 2.21.0'. */
  readonly wheels: readonly string[];
}

/** This machine, as a manifest names it. */
export const nativePlatform = (): string => `${process.platform} ${process.arch}`;

/** What manifests said of themselves before there were kinds. */
const BEFORE_KINDS = { kind: 'cpu', wheels: [] } as const;

/** What is installed in a folder; null where nothing is, or where its manifest is damaged: installing again mends both. */
export function readNativeManifest(dir: string): NativeManifest | null {
  try {
    const manifest = {
      ...BEFORE_KINDS,
      ...(JSON.parse(readFileSync(join(dir, NATIVE_FILES.manifest), 'utf8')) as object),
    };
    return isManifest(manifest) ? manifest : null;
  } catch {
    return null;
  }
}

/** Everything that others read of it. */
function isManifest(manifest: Partial<Record<keyof NativeManifest, unknown>>): manifest is NativeManifest {
  const { kind, tensorflow, tfjsNode, platform, wheels } = manifest;
  const texts = [tensorflow, tfjsNode, platform];
  return (kind === 'cpu' || kind === 'gpu') && texts.every((text) => typeof text === 'string') && Array.isArray(wheels);
}
