/** Whether a device still computes what it is asked to. */
import { ExpertError } from '../../base/errors.js';
import type { GpuDevice } from '../library/dawn.js';

/**
 * Watches a device. WebGPU goes on after an error as if nothing had happened, with buffers that hold nothing of use: whoever reads numbers asks here
 * first, and gets the first error that befell the device, from then on for good.
 */
export class DeviceHealth {
  private failure: ExpertError | null = null;
  private isClosed = false;

  /** `name`: of the adapter, for messages. */
  constructor(
    device: GpuDevice,
    private readonly name: string,
  ) {
    device.onuncapturederror = (event) => {
      event.preventDefault();
      this.fail(deviceError(name, event.error));
    };
    void device.lost.then(({ reason, message }) => this.fail(lostError(name, `${reason}: ${message}`)));
  }

  /** @throws ExpertError DEVICE_LOST, OUT_OF_MEMORY or DEVICE_FAILED */
  check(): void {
    if (this.failure !== null) throw this.failure;
  }

  /** What a call that threw `error` should throw: the device's own failure where there is one. Waits a turn, since a loss is told after what it breaks. */
  async explain(error: unknown): Promise<unknown> {
    await new Promise((resolve) => setImmediate(resolve));
    const isCutOff = error instanceof Error && error.name === 'AbortError';
    return this.failure ?? (isCutOff ? lostError(this.name, 'a read was cut off') : error);
  }

  /** The device is about to be destroyed by its owner: that is no failure. */
  close(): void {
    this.isClosed = true;
  }

  private fail(error: ExpertError): void {
    if (!this.isClosed) this.failure ??= error;
  }
}

const lostError = (name: string, why: string): ExpertError =>
  new ExpertError(
    'DEVICE_LOST',
    `the GPU '${name}' was lost (${oneLine(why)}), and what this rank held on it; see the driver's log and start the rank again, or use backend: wasm`,
  );

function deviceError(name: string, error: { readonly message: string }): ExpertError {
  const what = `the GPU '${name}'`;
  const message = oneLine(error.message);
  return error.constructor.name === 'GPUOutOfMemoryError'
    ? new ExpertError('OUT_OF_MEMORY', `${what} is full (${message}); use more ranks, or lower engine.num_kv_blocks`)
    : new ExpertError('DEVICE_FAILED', `${what} refused work (${message}); please report this, and use backend: wasm`);
}

const oneLine = (text: string): string => text.trim().split('\n')[0] ?? '';
