/**
 * TensorFlow's shared libraries and C headers: from a wheel, or from a folder that holds them.
 * Why: docs/decisions/tensorflow.md#what-a-tensorflow-wheel-lacks
 */
import { copyFile, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NativeError } from './errors.js';
import { extractEntries, readWheel, type UnpackOptions } from './wheel.js';

/** The library with the C functions: as wheels carry it, and as the C library is published. Both need the framework beside them. */
const MAIN_LIBRARIES = ['libtensorflow_cc.so.2', 'libtensorflow.so.2'] as const;
const FRAMEWORK = 'libtensorflow_framework.so.2';
/** Of several thousand headers of a wheel, those that the C interface is made of. */
const WHEEL_PARTS =
  /^tensorflow\/(libtensorflow_(cc|framework)\.so\.2|include\/(tensorflow\/(c|core\/platform)|(xla\/)?tsl\/(c|platform))\/.*\.h)$/;

/** What to compile and link the binding with. */
export interface TensorflowLibrary {
  /** File names to link with; they lie in the folder for libraries. */
  readonly libraries: readonly string[];
  /** Folder of the headers. */
  readonly include: string;
}

/**
 * Libraries of a wheel into one folder, headers into another.
 *
 * @throws NativeError BAD_ARCHIVE
 */
export async function libraryFromWheel(
  wheel: string,
  folders: { readonly libraries: string; readonly include: string },
  options: UnpackOptions,
): Promise<TensorflowLibrary> {
  const parts = (await readWheel(wheel)).filter(({ name }) => WHEEL_PARTS.test(name));
  const libraries = [MAIN_LIBRARIES[0], FRAMEWORK];
  const isWhole = libraries.every((library) => parts.some(({ name }) => name === `tensorflow/${library}`));
  if (!isWhole) {
    const message = `${wheel} holds no ${libraries.join(' and ')}; delete it and try again`;
    throw new NativeError('BAD_ARCHIVE', message);
  }
  await extractEntries(wheel, parts, (entry) => targetOf(entry.slice('tensorflow/'.length), folders), options);
  return { libraries, include: folders.include };
}

function targetOf(
  name: string,
  { include, libraries }: { readonly libraries: string; readonly include: string },
): string {
  return name.startsWith('include/') ? join(include, name.slice('include/'.length)) : join(libraries, name);
}

/**
 * Libraries of a folder, copied: of the `tensorflow` package of a Python, or of an unpacked C library (lib/, include/).
 *
 * @throws NativeError NO_LIBRARY
 */
export async function libraryFromFolder(from: string, target: string): Promise<TensorflowLibrary> {
  const include = join(from, 'include');
  if (await exists(join(include, 'tensorflow', 'c', 'eager', 'c_api.h'))) {
    for (const folder of [from, join(from, 'lib')]) {
      for (const main of MAIN_LIBRARIES) {
        const libraries = [main, FRAMEWORK];
        if (!(await exists(join(folder, main))) || !(await exists(join(folder, FRAMEWORK)))) continue;
        await mkdir(target, { recursive: true });
        for (const library of libraries) await copyFile(join(folder, library), join(target, library));
        return { libraries, include };
      }
    }
  }
  const message =
    `${from} holds no TensorFlow library with headers; name the folder of Python's tensorflow package ` +
    `(${MAIN_LIBRARIES[0]}, include/) or of an unpacked C library (lib/${MAIN_LIBRARIES[1]}, include/)`;
  throw new NativeError('NO_LIBRARY', message);
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
