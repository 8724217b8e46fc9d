/**
 * NVIDIA's libraries beside TensorFlow's. The CUDA build needs none of them to be loaded: it opens them by name when it finds a driver, and looks in
 * ../nvidia/PART/lib as seen from its own library (its RUNPATH), which is how Python's packages lie. They find each other the same way, so that no
 * LD_LIBRARY_PATH is needed.
 */
import { chmod, copyFile, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NativeError } from './errors.js';
import { extractEntries, extractEntry, readWheel, type UnpackOptions } from './wheel.js';
import { scratchPath, type Workshop } from './workshop.js';

/** Libraries, and what XLA compiles its kernels with. Headers, static libraries and device code that only a linker reads stay behind. */
const PARTS = /^[a-z0-9_]+\/(lib\/[^/]+\.so(\.[^/]+)?|bin\/ptxas|nvvm\/libdevice\/[^/]+\.bc)$/;
const PACKAGE_FOLDER = 'nvidia/';

/** The packages that TensorFlow's own metadata names for CUDA: 'nvidia-cublas-cu12<13.0,>=12.5.3.2'. */
const REQUIREMENT = /^Requires-Dist: (nvidia-[\w.<>=!,~-]+?)\s*;\s*extra\s*==\s*["']and-cuda["']\s*$/gm;

/**
 * Which packages a wheel of TensorFlow needs for CUDA, with the versions that it allows.
 *
 * @throws NativeError BAD_ARCHIVE when it names none
 */
export async function cudaRequirements(wheel: string, shop: Workshop): Promise<readonly string[]> {
  const metadata = (await readWheel(wheel)).find(({ name }) => /^[^/]+\.dist-info\/METADATA$/.test(name));
  const file = scratchPath(shop, 'METADATA');
  if (metadata !== undefined) {
    await extractEntry(wheel, metadata, file, { signal: shop.signal, onBytes: () => undefined });
    const requirements = [...(await readFile(file, 'utf8')).matchAll(REQUIREMENT)].map((match) => match[1]!);
    if (requirements.length > 0) return requirements;
  }
  throw new NativeError('BAD_ARCHIVE', `${wheel} names no libraries for CUDA; install without --gpu`);
}

/**
 * Libraries of one of NVIDIA's wheels.
 *
 * @param target the folder `nvidia` beside that of TensorFlow's libraries
 * @throws NativeError BAD_ARCHIVE; the signal's reason when it was aborted
 */
export async function cudaFromWheel(wheel: string, target: string, options: UnpackOptions): Promise<void> {
  const isPart = (name: string): boolean =>
    name.startsWith(PACKAGE_FOLDER) && PARTS.test(name.slice(PACKAGE_FOLDER.length));
  const parts = (await readWheel(wheel)).filter(({ name }) => isPart(name));
  if (parts.length === 0) throw new NativeError('BAD_ARCHIVE', `${wheel} holds no library; delete it and try again`);
  await extractEntries(wheel, parts, (name) => join(target, name.slice(PACKAGE_FOLDER.length)), options);
}

/**
 * Libraries that lie beside Python's package `tensorflow`, copied.
 *
 * @param from the folder of that package
 * @throws NativeError NO_LIBRARY
 */
export async function cudaFromFolder(from: string, target: string, signal: AbortSignal): Promise<void> {
  const source = join(dirname(from), 'nvidia');
  const names = (await readdir(source, { recursive: true }).catch(() => [])).filter((name) => PARTS.test(name));
  if (names.length === 0) {
    const message = `${source} holds no libraries of NVIDIA's; pip install 'tensorflow[and-cuda]' puts them there, or leave out --gpu`;
    throw new NativeError('NO_LIBRARY', message);
  }
  for (const name of names) {
    signal.throwIfAborted();
    await mkdir(dirname(join(target, name)), { recursive: true });
    await copyFile(join(source, name), join(target, name));
  }
}

/** A library that TensorFlow's framework opens without looking where it lies, and a folder where it does look. */
const MISPLACED = { part: 'cusolver', library: /^libcusolver\.so\.\d+$/, seenIn: 'cusparse' } as const;

/** What makes unpacked files usable: ptxas may run, and every library is found. TensorFlow does without all GPUs when one is not. */
export async function finishCuda(target: string): Promise<void> {
  const ptxas = join(target, 'cuda_nvcc', 'bin', 'ptxas');
  await chmod(ptxas, 0o755).catch(() => undefined); // without it XLA compiles with the driver
  const { part, library, seenIn } = MISPLACED;
  for (const name of await readdir(join(target, part, 'lib')).catch(() => [])) {
    if (!library.test(name)) continue;
    await mkdir(join(target, seenIn, 'lib'), { recursive: true });
    await symlink(join('..', '..', part, 'lib', name), join(target, seenIn, 'lib', name));
  }
}
