/** What a rank gets of its machine, made ready before TensorFlow's library loads. */
import { availableParallelism, cpus } from 'node:os';
import type { BackendChoice } from '../../compute/tfjs/tf.js';
import type { Compute } from '../model/weights/residence.js';
import { UNTRIED, type KernelTrial } from '../kernels/kernel_trial.js';
import { knownTrial, type KnownTrialOptions } from '../kernels/known_trial.js';
import { cudaDevices, type CudaDevice } from '../native/cuda_devices.js';
import { ALONE, type LocalSeat } from './local_seat.js';
import { coresOf, nativeSettings, type GpuShare } from './native_settings.js';

/** What a rank is told by whoever starts it. */
export interface PlaceOrder {
  /** Default: alone. */
  readonly seat?: LocalSeat;
  /** GPUs as they were before any rank of this machine took memory of them. Default none. */
  readonly devices?: readonly CudaDevice[];
  /** What kernels can be on this machine. Default: nothing is known. */
  readonly kernels?: KernelTrial;
}

/** What a rank has of its machine. */
export interface RankPlace {
  /** Ranks of this machine, this one included, as far as is known. */
  readonly ranksHere: number;
  /** Of its machine's, those that are its own if all ranks take as many. */
  readonly numCores: number;
  /** Null where no GPU is known, or none may be used. */
  readonly gpu: GpuShare | null;
  /** What its kernels can be. */
  readonly kernels: KernelTrial;
}

/** A rank of which nobody said anything. */
export const ANY_PLACE: RankPlace = { ranksHere: 1, numCores: 1, gpu: null, kernels: UNTRIED };

/** The GPUs that ranks of this machine may compute on; none where they will not. `choice`: of the backend, undefined where another machine chooses. */
export async function devicesFor(choice: BackendChoice | undefined): Promise<readonly CudaDevice[]> {
  const mayUse = choice === undefined || choice === 'auto' || choice === 'tensorflow';
  return mayUse ? cudaDevices() : [];
}

/** What the kernels of this machine can be; tried where nobody knows. {@link UNTRIED} where none will run. `compute`: undefined where another machine chooses. */
export async function kernelsFor(
  choice: BackendChoice | undefined,
  compute?: Compute | 'auto',
  options: Pick<KnownTrialOptions, 'signal' | 'onNotice'> = {},
): Promise<KernelTrial> {
  const mayUse = compute !== 'tensors' && (choice === undefined || choice === 'auto' || choice === 'wasm');
  return mayUse ? knownTrial(options) : UNTRIED;
}

/**
 * Sets in `env`, which must be the process's own environment, what TensorFlow's library reads there when it loads.
 *
 * @param numThreads ranks that are threads of this process: they share its GPU and its threads. Default 1
 */
export function takePlace(
  { seat = ALONE, devices = [], kernels = UNTRIED }: PlaceOrder,
  env: Record<string, string | undefined>,
  numThreads = 1,
): RankPlace {
  const cores = { numUsableCores: availableParallelism(), numCores: cpus().length };
  const { variables, gpu } = nativeSettings(seat, { env, devices, ...cores });
  Object.assign(env, variables);
  return {
    ranksHere: seat.count * numThreads,
    numCores: Math.max(1, Math.floor(coresOf(seat, cores) / numThreads)),
    kernels,
    gpu: gpu === null ? null : { ...gpu, numRanks: gpu.numRanks * numThreads },
  };
}
