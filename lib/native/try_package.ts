/**
 * A process that loads a package which brings TensorFlow with it, multiplies two matrices and tells its parent what it found, or why it does not run:
 * `node try_package.js NAME FOLDER`, where the package is looked for as a file of the folder would.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { supplyUtil } from '../../compute/tfjs/native/native_tensorflow.js';
import type { Trial } from './try_native.js';

/** What is needed of such a package here. It has a TensorFlow.js of its own, which the engine's never meets. */
interface TfjsPackage {
  ready(): Promise<void>;
  tensor2d(rows: readonly (readonly number[])[]): object;
  matMul(a: object, b: object): { dataSync(): ArrayLike<number> };
  backend(): { readonly binding: { readonly TF_Version: string }; readonly isUsingGpuDevice: boolean };
}

async function tryPackage(name: string, folder: string): Promise<Trial> {
  supplyUtil();
  const tfjs = createRequire(join(folder, 'file.js'))(name) as TfjsPackage;
  await tfjs.ready();
  const [a, b] = [
    [1, 2, 3, 4],
    [5, 6, 7, 8],
  ].map((values) => tfjs.tensor2d([values.slice(0, 2), values.slice(2)]));
  const product = Array.from(tfjs.matMul(a!, b!).dataSync());
  if (product.join() !== '19,22,43,50') return { reason: `${name} multiplies wrongly: ${product.join()}` };
  const { binding, isUsingGpuDevice } = tfjs.backend();
  return { version: binding.TF_Version, isOnGpu: isUsingGpuDevice };
}

const [name, folder] = process.argv.slice(2) as [string, string];
const trial = await tryPackage(name, folder).catch((error: unknown): Trial => ({
  reason: error instanceof Error ? error.message.split('\n')[0]! : String(error),
}));
process.send?.(trial);
