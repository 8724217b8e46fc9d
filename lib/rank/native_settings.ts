/** What a rank's process tells TensorFlow's library before it loads: its GPU, its memory, its threads. Pure. */
import type { CudaDevice } from '../native/cuda_devices.js';
import type { LocalSeat } from './local_seat.js';

/** Variables of a process's environment. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What a rank has of a GPU. */
export interface GpuShare {
  /** As CUDA_VISIBLE_DEVICES names it: a number, or the text of an identifier. */
  readonly device: string;
  /** Null where that isn't known. */
  readonly freeBytes: number | null;
  /** Ranks that share it, this one included, as far as is known. */
  readonly numRanks: number;
}

/** How native TensorFlow shares the machine with other ranks. */
export interface NativeSettings {
  /** To be set in the process's environment. What the user set there is not among them, CUDA_VISIBLE_DEVICES excepted, of which one device is taken. */
  readonly variables: Readonly<Record<string, string>>;
  /** Null where no GPU is known, or none may be used. */
  readonly gpu: GpuShare | null;
}

/** What a machine has. */
export interface NativeMachine {
  readonly env: Environment;
  /** As `cudaDevices` found them. */
  readonly devices: readonly Pick<CudaDevice, 'index' | 'name' | 'freeBytes'>[];
  /** Cores that this process may use. */
  readonly numUsableCores: number;
  readonly numCores: number;
}

/**
 * 1. Rank i takes device i mod n, of those that the user names in CUDA_VISIBLE_DEVICES or else of all.
 * 2. Memory of a GPU is taken as it is needed: by default TensorFlow takes all of it, and the next rank none.
 * 3. Ranks divide the cores of the machine.
 */
export function nativeSettings(seat: LocalSeat, machine: NativeMachine): NativeSettings {
  const { env } = machine;
  const gpu = gpuOf(seat, machine);
  const defaults = {
    TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    TF_NUM_INTRAOP_THREADS: String(coresOf(seat, machine)),
    // Numbers of devices are those that the driver tells, not CUDA's own, fastest first.
    ...(gpu !== null && env.CUDA_VISIBLE_DEVICES === undefined && { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' }),
  };
  const unset = Object.entries(defaults).filter(([name]) => env[name] === undefined);
  return {
    gpu,
    variables: { ...Object.fromEntries(unset), ...(gpu !== null && { CUDA_VISIBLE_DEVICES: gpu.device }) },
  };
}

function gpuOf(seat: LocalSeat, { env, devices }: NativeMachine): GpuShare | null {
  const named = env.CUDA_VISIBLE_DEVICES;
  const visible = named === undefined ? devices.map(({ index }) => String(index)) : visibleDevices(named);
  if (visible.length === 0) return null;
  const slot = seat.index % visible.length;
  // A launcher may have given each of its tasks devices of their own: only ranks of the same task are known to share.
  const isOwn = named !== undefined && seat.startedTogether < seat.count;
  const first = isOwn ? seat.index - (seat.index % seat.startedTogether) : 0;
  const sharing = Array.from({ length: isOwn ? seat.startedTogether : seat.count }, (_, i) => first + i);
  const device = visible[slot]!;
  const isNumbered = devices.every(({ name }) => name === devices[0]!.name) || isInDriverOrder(env);
  const found = isNumbered ? devices.find(({ index }) => String(index) === device) : undefined;
  return {
    device,
    freeBytes: found?.freeBytes ?? null,
    numRanks: sharing.filter((index) => index % visible.length === slot).length,
  };
}

/** Whether CUDA will number devices as their driver does. */
const isInDriverOrder = ({ CUDA_DEVICE_ORDER: order, CUDA_VISIBLE_DEVICES: named }: Environment): boolean =>
  order === 'PCI_BUS_ID' || (order === undefined && named === undefined);

/** As CUDA reads it: up to the first that is no device. */
function visibleDevices(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  const end = names.findIndex((name) => !/^(\d+|GPU-.+|MIG-.+)$/.test(name));
  return end === -1 ? names : names.slice(0, end);
}

/** Cores of a rank, at least 1. A launcher that bound its tasks to cores has divided them already. */
export function coresOf(
  { count, startedTogether }: LocalSeat,
  { numUsableCores, numCores }: Pick<NativeMachine, 'numUsableCores' | 'numCores'>,
): number {
  const isBound = startedTogether < count && numUsableCores < numCores;
  return Math.max(1, Math.floor(numUsableCores / (isBound ? startedTogether : count)));
}
