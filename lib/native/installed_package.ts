/** Packages of the npm registry that bring TensorFlow with them: where one loads, nothing has to be built. */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { NATIVE_PACKAGES } from '../../compute/tfjs/native/native_folder.js';
import { runTrial, type TrialOptions } from './trial.js';
import type { Trial } from './try_native.js';

/** A package that was tried and computes. */
export interface LoadingPackage {
  readonly name: string;
  /** Of the TensorFlow behind it. */
  readonly version: string;
  readonly isOnGpu: boolean;
}

/**
 * The first package that loads and computes, in the order in which `backend: tensorflow` tries them; null where none does. Each is tried in a process of
 * its own.
 *
 * @param folder packages are looked for as a file in it would; default: as expertwire does
 * @throws the signal's reason when it was aborted
 */
export async function loadingPackage(
  options: TrialOptions,
  folder = dirname(fileURLToPath(import.meta.url)),
): Promise<LoadingPackage | null> {
  for (const name of NATIVE_PACKAGES.filter((name) => isInstalled(name, folder))) {
    const end = await runTrial<Trial>('./try_package.js', [name, folder], options);
    if (!('told' in end) || !('version' in end.told)) continue;
    return { name, ...end.told };
  }
  return null;
}

function isInstalled(name: string, folder: string): boolean {
  try {
    createRequire(join(folder, 'file.js')).resolve(name);
    return true;
  } catch {
    return false;
  }
}
