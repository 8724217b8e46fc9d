/**
 * TensorFlow.js's backend on WebGPU, with what it lacks for running for hours: errors that surface, and memory that is given back.
 * Why: docs/decisions/tensorflow.md#the-device-of-webgpu-is-ours
 */
import { ExpertError } from '../../base/errors.js';
import type { AdapterReport } from './adapters.js';
import type { Gpu, GpuAdapterInfo, GpuDevice } from '../library/dawn.js';
import { DeviceHealth } from './device_health.js';
import type { DataId, TfjsWebgpu, Values, WebgpuBackendBase } from '../library/tfjs_webgpu.js';

/** Tensors from this size on go to the device when they are made: smaller ones may never be needed there. */
const UPLOAD_FROM_BYTES = 65_536;
/** What may wait in staging memory until the device has taken it. */
const MAX_STAGED_BYTES = 64 * 2 ** 20;
/** Free buffers are kept up to here: shapes grow with a sequence, so most sizes never come again. */
const MAX_FREE_BYTES = 256 * 2 ** 20;

/** An opened GPU, with all that it was made of. */
export interface GuardedDevice {
  /** Kept as long as the device. */
  readonly gpu: Gpu;
  readonly device: GpuDevice;
  readonly info: GpuAdapterInfo;
  /** The adapter that it is of. */
  readonly report: AdapterReport;
}

/** A backend that owns its device: `dispose` destroys it. */
export interface GuardedBackend extends WebgpuBackendBase {
  /** Kept here since Dawn crashes where what a device was made of is collected before it. */
  readonly guarded: GuardedDevice;
}

/** A backend on this device. Its tensors are checked against what the device takes, and its errors surface where values are read. */
export function createGuardedBackend({ WebGPUBackend }: TfjsWebgpu, guarded: GuardedDevice): GuardedBackend {
  const { device, info, report } = guarded;
  const { name, maxTensorBytes } = report;
  const health = new DeviceHealth(device, name);

  /** The class can only be made here: its base comes with a package that may not be installed. */
  class Guarded extends WebGPUBackend implements GuardedBackend {
    readonly guarded = guarded;
    private stagedBytes = 0;
    private isDisposed = false;

    /** Large values go to the device at once, so that they don't stay in JavaScript as well. */
    override write(values: Values | null | undefined, shape: readonly number[], dtype: string): DataId {
      const id = super.write(values, shape, dtype);
      if (values != null && values.byteLength >= UPLOAD_FROM_BYTES) this.upload(id, values.byteLength);
      return id;
    }

    /** @throws ExpertError OUT_OF_MEMORY for a tensor larger than the device takes or without memory to stage it; DEVICE_LOST, DEVICE_FAILED */
    override uploadToGPU(id: DataId): void {
      health.check();
      const { shape, resource } = this.tensorMap.get(id);
      if (resource != null) return;
      const bytes = 4 * shape.reduce((product, size) => product * size, 1);
      if (bytes > maxTensorBytes) throw tooLarge(shape, bytes, name, maxTensorBytes);
      try {
        super.uploadToGPU(id);
      } catch (error) {
        if (error instanceof RangeError) throw noStaging(bytes, name, error);
        throw error;
      }
      health.check();
    }

    /** Also waits for what may have gone wrong: numbers leave the device here alone. */
    override async read(id: DataId): Promise<Values> {
      health.check();
      try {
        const values = await super.read(id);
        health.check();
        const data = this.tensorMap.get(id);
        if (data.resource != null) data.values = null; // a second copy for as long as the tensor lives otherwise
        return values;
      } catch (error) {
        throw await health.explain(error);
      }
    }

    /** Also gives free buffers back where they are more than {@link MAX_FREE_BYTES}. */
    override submitQueue(): void {
      super.submitQueue();
      this.stagedBytes = 0;
      const { numBytesAllocated, numBytesUsed } = this.bufferManager;
      if (numBytesAllocated - numBytesUsed > MAX_FREE_BYTES) this.destroyFreeBuffers();
    }

    /** Idempotent. Destroys the device too. */
    override dispose(): void {
      if (this.isDisposed) return;
      this.isDisposed = true;
      health.close();
      super.dispose();
      device.destroy();
    }

    private upload(id: DataId, bytes: number): void {
      this.uploadToGPU(id);
      this.stagedBytes += bytes;
      if (this.stagedBytes < MAX_STAGED_BYTES) return;
      this.ensureCommandEncoderReady();
      this.endComputePassEncoder();
      this.submitQueue();
    }

    private destroyFreeBuffers(): void {
      for (const buffers of this.bufferManager.freeBuffers.values()) {
        for (const buffer of buffers.splice(0)) {
          buffer.destroy();
          this.bufferManager.numBytesAllocated -= buffer.size;
          this.bufferManager.numFreeBuffers--;
        }
      }
    }
  }
  return new Guarded(device, info);
}

const tooLarge = (shape: readonly number[], bytes: number, name: string, limit: number): ExpertError =>
  new ExpertError(
    'OUT_OF_MEMORY',
    `a tensor of ${shape.join(' × ')} takes ${bytes} bytes, and the GPU '${name}' takes tensors of up to ${limit}; use backend: tensorflow or wasm`,
  );

/** What is written to a device goes through memory of this process. */
const noStaging = (bytes: number, name: string, cause: RangeError): ExpertError =>
  new ExpertError(
    'OUT_OF_MEMORY',
    `no memory to write ${bytes} bytes to the GPU '${name}' (${cause.message}); use fewer ranks on this machine, or a smaller model`,
    { cause },
  );
