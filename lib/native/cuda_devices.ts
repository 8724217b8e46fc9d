/** The NVIDIA GPUs of this machine, as their driver tells them; no CUDA library is loaded. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NativeError } from './errors.js';
import { lastLines, runProgram, type Environment } from './program.js';

/** One GPU. */
export interface CudaDevice {
  /** As the driver counts them, from 0. CUDA_VISIBLE_DEVICES is not applied. */
  readonly index: number;
  /** 'NVIDIA H200'. */
  readonly name: string;
  /** Of its memory; null where the driver doesn't say. */
  readonly totalBytes: number | null;
  readonly freeBytes: number | null;
  /** Version of the driver: '570.86.15'. */
  readonly driver: string | null;
}

/** What was found, and why nothing was. */
export interface CudaSurvey {
  readonly devices: readonly CudaDevice[];
  /** Null where there are devices. */
  readonly reason: string | null;
}

/** Where GPUs are looked for. Tests give other places. */
export interface CudaOptions {
  /** Where nvidia-smi is looked for: its PATH. Default: this process's own. */
  readonly env?: Environment | undefined;
  /** Default {@link DRIVER_FOLDER}. */
  readonly driverFolder?: string;
}

/** Where the driver's kernel module lists its devices. */
const DRIVER_FOLDER = '/proc/driver/nvidia';

/** A driver that hangs doesn't hang its caller. */
const TIMEOUT_MS = 10_000;

/** The devices; none where there is no driver. Never throws. */
export const cudaDevices = async (options: CudaOptions = {}): Promise<readonly CudaDevice[]> =>
  (await surveyCuda(options)).devices;

/** As {@link cudaDevices}, and why there are none: nvidia-smi is asked first, then the kernel module, which knows no sizes. */
export async function surveyCuda({ env, driverFolder = DRIVER_FOLDER }: CudaOptions = {}): Promise<CudaSurvey> {
  const asked = await askNvidiaSmi(env);
  if (asked.devices.length > 0) return asked;
  const devices = await listedByModule(driverFolder);
  return devices.length > 0 ? { devices, reason: null } : asked;
}

const QUERY = ['--query-gpu=index,name,memory.total,memory.free,driver_version', '--format=csv,noheader,nounits'];

async function askNvidiaSmi(env: Environment | undefined): Promise<CudaSurvey> {
  try {
    const end = await runProgram('nvidia-smi', QUERY, { env, signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (end.exitCode !== 0) return none(`nvidia-smi fails: ${lastLines(end)}`);
    const lines = end.stdout.split('\n').filter((line) => line.trim() !== '');
    const devices = lines.map(parseDevice);
    const strange = devices.indexOf(null);
    if (strange >= 0) return none(`nvidia-smi says what is no device: ${lines[strange]!}`);
    return devices.length === 0
      ? none('nvidia-smi lists none')
      : { devices: devices.filter((d) => d !== null), reason: null };
  } catch (error) {
    if (error instanceof NativeError) return none('no NVIDIA driver');
    return none(`nvidia-smi doesn't answer within ${TIMEOUT_MS / 1000} s`);
  }
}

const none = (reason: string): CudaSurvey => ({ devices: [], reason });

/** `0, NVIDIA H200, 143771, 143156, 570.86.15`; null for anything else. */
function parseDevice(line: string): CudaDevice | null {
  const match = /^(\d+), (.+), ([^,]+), ([^,]+), ([^,]+)$/.exec(line.trim());
  if (match === null) return null;
  const [, index, name, total, free, driver] = match;
  return {
    index: Number(index),
    name: name!,
    totalBytes: bytesOf(total!),
    freeBytes: bytesOf(free!),
    driver: driver!,
  };
}

/** From MiB; devices that share the machine's memory say [N/A]. */
const bytesOf = (mebibytes: string): number | null => (/^\d+$/.test(mebibytes) ? Number(mebibytes) * 2 ** 20 : null);

async function listedByModule(folder: string): Promise<CudaDevice[]> {
  const driver = await driverVersion(folder);
  const slots = await readdir(join(folder, 'gpus')).catch(() => []);
  return Promise.all(
    slots.sort().map(async (slot, index) => {
      const text = await readFile(join(folder, 'gpus', slot, 'information'), 'utf8').catch(() => '');
      const name = /^Model:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? `GPU ${slot}`;
      return { index, name, totalBytes: null, freeBytes: null, driver };
    }),
  );
}

async function driverVersion(folder: string): Promise<string | null> {
  const text = await readFile(join(folder, 'version'), 'utf8').catch(() => '');
  return /Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s/.exec(text)?.[1] ?? null;
}
