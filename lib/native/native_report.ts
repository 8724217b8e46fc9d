/** What `expertwire doctor` says of the native backend: what is installed, how large it is, and the devices it could compute on. */
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readNativeManifest, type NativeManifest } from '../../compute/tfjs/native/native_folder.js';
import { bytes } from '../metrics/charts.js';
import { surveyCuda, type CudaDevice, type CudaOptions, type CudaSurvey } from './cuda_devices.js';

/** What there is of the native backend on this machine. `dir`: where it is or would be installed. */
export interface NativeReport {
  readonly dir: string;
  /** Null where nothing is installed. */
  readonly installed: NativeManifest | null;
  /** Of the files of the folder. */
  readonly sizeBytes: number;
  readonly cuda: CudaSurvey;
}

/** Looks into the folder and asks for GPUs. Nothing is loaded. */
export async function reportNative(dir: string, options: CudaOptions): Promise<NativeReport> {
  const installed = readNativeManifest(dir);
  const sizeBytes = installed === null ? 0 : await bytesIn(dir);
  return { dir, installed, sizeBytes, cuda: await surveyCuda(options) };
}

/** Lines of two columns. */
export function nativeFacts({ dir, installed, sizeBytes, cuda }: NativeReport): readonly (readonly [string, string])[] {
  const native =
    installed === null
      ? 'nothing installed; expertwire native install'
      : `TensorFlow ${installed.tensorflow} for ${installed.kind.toUpperCase()}, ${bytes(sizeBytes)} in ${dir}`;
  const devices = cuda.reason === null ? cuda.devices.map(deviceText) : [`none: ${cuda.reason}`];
  return [['native', native], ...devices.map((text, i) => [i === 0 ? 'cuda' : '', text] as const)];
}

function deviceText({ index, name, totalBytes, freeBytes, driver }: CudaDevice): string {
  const total = totalBytes === null ? 'memory unknown' : bytes(totalBytes);
  const free = freeBytes === null ? '' : `, ${bytes(freeBytes)} free`;
  return `${index} ${name}, ${total}${free}, driver ${driver ?? 'unknown'}`;
}

/** For machines.
 * @param reason why the backend does not run; null where it does
 */
export function nativeJson({ dir, installed, sizeBytes, cuda }: NativeReport, reason: string | null): object {
  return {
    native: {
      folder: dir,
      installed: installed !== null,
      kind: installed?.kind ?? null,
      tensorflow: installed?.tensorflow ?? null,
      bytes: sizeBytes,
      unavailable: reason,
    },
    cuda_devices: cuda.devices.map(({ index, name, totalBytes, freeBytes, driver }) => ({
      ...{ index, name, total_bytes: totalBytes, free_bytes: freeBytes, driver },
    })),
    no_cuda_device: cuda.reason,
  };
}

/** Links are counted as what they are. */
async function bytesIn(dir: string): Promise<number> {
  const names = await readdir(dir, { recursive: true });
  const stats = await Promise.all(names.map((name) => lstat(join(dir, name))));
  return stats.reduce((sum, stat) => sum + (stat.isDirectory() ? 0 : stat.size), 0);
}
