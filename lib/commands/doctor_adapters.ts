/** What `expertwire doctor` tells of the GPUs that `backend: webgpu` could run on. Pure. */
import type { listAdapters } from '../../compute/tfjs/tf.js';
import { bytes } from '../metrics/charts.js';

type Adapters = Awaited<ReturnType<typeof listAdapters>>;

/** For `--json`. */
export const adapterRows = (adapters: Adapters): object[] =>
  adapters.map(({ name, api, vendor, architecture, description, isSoftware, maxTensorBytes, isTaken }) => ({
    ...{ name, api, vendor, architecture, description, software: isSoftware },
    max_tensor_bytes: maxTensorBytes,
    taken: isTaken,
  }));

/** Nothing where there is no adapter: the table of backends says why. */
export function adapterLines(adapters: Adapters): string {
  if (adapters.length === 0) return '';
  const lines = adapters.map(
    ({ name, api, vendor, architecture, description, isSoftware, maxTensorBytes, isTaken }) => {
      const words = [api, vendor, architecture, description].filter((word) => word !== '').join(', ');
      const kind = isSoftware ? 'software renderer, passed over by auto' : 'GPU';
      return `${isTaken ? '→' : ' '} ${name}: ${kind} (${words}), tensors up to ${bytes(maxTensorBytes)}`;
    },
  );
  const choice = "webgpu takes the one marked, or the first whose name contains the configuration's webgpu.adapter";
  return `\n${[...lines, '', choice].join('\n')}\n`;
}
