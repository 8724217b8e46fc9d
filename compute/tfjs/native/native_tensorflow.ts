/** The backend `tensorflow` from a folder that `expertwire native install` wrote. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { NATIVE_FILES, nativePlatform, readNativeManifest, TFJS_SCOPE, TFJS_VERSION } from './native_folder.js';

/**
 * Where the stand-ins for @tensorflow/tfjs and tfjs-core that lie in an installed folder find TensorFlow.js. The native backend needs nothing of the bundle but its
 * core, and must get the very one that runs here.
 */
const CORE = Symbol.for('expertwire.tfjs-core');

/** The stand-ins' text. */
export const CORE_STAND_IN = `module.exports = globalThis[Symbol.for('${CORE.description!}')];\n`;

/** What is needed of TensorFlow.js's core here; the rest goes through to the backend. */
export interface TfjsCore {
  /** How a backend of this name is made; null where none is registered. */
  findBackendFactory(name: string): unknown;
  /** Adds a backend by its factory; false where the name is taken. */
  registerBackend(name: string, factory: () => object): boolean;
}

/** What is needed of the binding here. */
interface Binding {
  readonly TF_Version: string;
  isUsingGpuDevice(): boolean;
}

interface KernelBackendModule {
  readonly NodeJSKernelBackend: new (binding: object, packageName: string) => object;
}

/**
 * Registers the backend `tensorflow` with a TensorFlow.js core and returns the version of the library behind it.
 *
 * @throws Error whose message says why it does not load: nothing installed, for another machine, a library missing
 */
export function registerNative(core: TfjsCore, dir: string): string {
  const manifest = readNativeManifest(dir);
  if (manifest === null) throw new Error('no native library; run expertwire native install');
  const { platform, tfjsNode } = manifest;
  if (platform !== nativePlatform() || tfjsNode !== TFJS_VERSION) {
    throw new Error(`${dir} is for ${platform} and tfjs-node ${tfjsNode}; run expertwire native install`);
  }
  return registerFrom(core, dir);
}

/** As {@link registerNative}, of a folder that has no manifest yet. */
export function registerFrom(core: TfjsCore, dir: string): string {
  (globalThis as { [CORE]?: TfjsCore })[CORE] = core;
  supplyUtil();
  const binding = loadBinding(dir);
  const dist = join(dir, NATIVE_FILES.tfjsNode, 'dist');
  const { NodeJSKernelBackend } = load(join(dist, 'nodejs_kernel_backend.js')) as KernelBackendModule;
  load(join(dist, 'register_all_kernels.js'));
  // Registering again would drop every tensor.
  if (core.findBackendFactory('tensorflow') === null) {
    core.registerBackend('tensorflow', () => new NodeJSKernelBackend(binding, `${TFJS_SCOPE}/tfjs-node`));
  }
  return binding.TF_Version;
}

/** Whether the library of a folder computes on a GPU; it is loaded for that. */
export const isNativeOnGpu = (dir: string): boolean => loadBinding(dir).isUsingGpuDevice();

/** The binding and the JavaScript of the backend are CommonJS. */
const load = createRequire(import.meta.url);

const loadBinding = (dir: string): Binding => load(join(dir, NATIVE_FILES.binding)) as Binding;

/** What tfjs-node 4.22 calls of Node's util: one function that Node 23 took away, and one of which Node 22 and later warn on every start. */
export function supplyUtil(): void {
  const util = load('node:util') as { isNullOrUndefined?: (value: unknown) => boolean; isArray: typeof Array.isArray };
  util.isNullOrUndefined ??= (value) => value === null || value === undefined;
  util.isArray = Array.isArray;
}
