/** What an installed folder holds: fetched, unpacked and compiled. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NATIVE_FILES, TFJS_SCOPE, type NativeKind } from '../../compute/tfjs/native/native_folder.js';
import { CORE_STAND_IN } from '../../compute/tfjs/native/native_tensorflow.js';
import { buildBinding, nodeHeaders } from './binding.js';
import { cudaFromFolder, cudaFromWheel, cudaRequirements, finishCuda } from './cuda_libraries.js';
import { NODE_HEADERS, PROTOBUF, TFJS_NODE, unpackNpmPackage } from './npm_packages.js';
import { fetchWheel, wheelTitle } from './pip.js';
import { libraryFromFolder, libraryFromWheel, type TensorflowLibrary } from './tensorflow_library.js';
import { anyPythonTarget, tensorflowTarget, type TensorflowWheel } from './wheels.js';
import { scratchPath, type Workshop } from './workshop.js';

/** A wheel to fetch, or a folder of the user's own. */
export type TensorflowSource = { readonly wheel: TensorflowWheel } | { readonly from: string };

/** What to fetch, where to work, and who is told. */
export interface FillOptions {
  readonly kind: NativeKind;
  readonly shop: Workshop;
  readonly onStep: (step: string) => void;
  readonly onProgress: (fraction: number) => void;
}

/** TensorFlow in a folder, and the wheels that it came in. */
interface Fetched extends TensorflowLibrary {
  readonly wheels: readonly string[];
}

/**
 * Fills a folder; what is in the workshop afterwards is not needed any more.
 *
 * @returns the wheels that were fetched, as a manifest names them
 * @throws NativeError; the signal's reason when it was aborted
 */
export async function fillNativeFolder(
  dir: string,
  tensorflow: TensorflowSource,
  options: FillOptions,
): Promise<readonly string[]> {
  const { shop, onStep } = options;
  const packageDir = join(dir, NATIVE_FILES.tfjsNode);
  const modules = join(dir, NATIVE_FILES.modules);

  // 1. TensorFlow itself, and what its CUDA build opens.
  const library =
    'wheel' in tensorflow
      ? await fetchTensorflow(dir, tensorflow.wheel, options)
      : await copyTensorflow(dir, tensorflow.from, options);

  // 2. The backend's JavaScript and the source of its binding, from the npm registry.
  onStep(`fetching ${TFJS_NODE.name} ${TFJS_NODE.version}`);
  await unpackNpmPackage(TFJS_NODE, packageDir, shop);
  await unpackNpmPackage(PROTOBUF, join(modules, PROTOBUF.name), shop);
  for (const name of ['tfjs', 'tfjs-core']) await writeStandIn(join(modules, TFJS_SCOPE, name));

  // 3. What joins the two.
  onStep('compiling the binding');
  const headers = nodeHeaders() ?? (await fetchHeaders(shop));
  const folders = { libraryDir: join(dir, NATIVE_FILES.libraries), libraryDirFromTarget: NATIVE_FILES.libraries };
  const source = join(packageDir, 'binding');
  await buildBinding({ ...library, ...folders, source, headers, target: join(dir, NATIVE_FILES.binding) }, shop);
  return library.wheels;
}

async function copyTensorflow(dir: string, from: string, { kind, shop, onStep }: FillOptions): Promise<Fetched> {
  onStep(`copying TensorFlow from ${from}`);
  const library = await libraryFromFolder(from, join(dir, NATIVE_FILES.libraries));
  if (kind === 'gpu') {
    const target = join(dir, NATIVE_FILES.cuda);
    onStep(`copying NVIDIA's libraries from ${dirname(from)}`);
    await cudaFromFolder(from, target, shop.signal);
    await finishCuda(target);
  }
  return { ...library, wheels: [] };
}

async function fetchTensorflow(dir: string, wheel: TensorflowWheel, options: FillOptions): Promise<Fetched> {
  const { kind, shop, onStep, onProgress } = options;
  const { name, version, megabytes, cudaMegabytes } = wheel;
  onStep(`fetching ${name} ${version} (${megabytes - cudaMegabytes} MB)`);
  const file = await fetchWheel(`${name}==${version}`, tensorflowTarget(wheel), shop);
  onStep('unpacking TensorFlow');
  const folders = { libraries: join(dir, NATIVE_FILES.libraries), include: scratchPath(shop, 'include') };
  const library = await libraryFromWheel(file, folders, { signal: shop.signal, onProgress });
  const cuda = kind === 'gpu' ? await fetchCuda(dir, file, wheel, options) : [];
  await rm(file);
  return { ...library, wheels: [wheelTitle(file), ...cuda] };
}

/** One after the other, so that no more than one archive lies on the disk. */
async function fetchCuda(
  dir: string,
  tensorflow: string,
  wheel: TensorflowWheel,
  { shop, onStep, onProgress }: FillOptions,
): Promise<string[]> {
  const requirements = await cudaRequirements(tensorflow, shop);
  const folder = join(dir, NATIVE_FILES.cuda);
  const titles: string[] = [];
  for (const [i, requirement] of requirements.entries()) {
    const name = /^[\w-]+/.exec(requirement)![0];
    onStep(`fetching ${name}, ${i + 1} of ${requirements.length} (${wheel.cudaMegabytes} MB in all)`);
    const file = await fetchWheel(requirement, anyPythonTarget(wheel), shop);
    onStep(`unpacking ${wheelTitle(file)}`);
    await cudaFromWheel(file, folder, { signal: shop.signal, onProgress });
    await rm(file);
    titles.push(wheelTitle(file));
  }
  await finishCuda(folder);
  return titles;
}

async function writeStandIn(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'index.js'), CORE_STAND_IN);
}

async function fetchHeaders(shop: Workshop): Promise<string> {
  const target = scratchPath(shop, NODE_HEADERS.name);
  await unpackNpmPackage(NODE_HEADERS, target, shop);
  return join(target, 'include');
}
