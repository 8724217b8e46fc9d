import type { CudaSurvey } from './cuda_devices.js';

/**
 * Why TensorFlow's CUDA build computes on the CPU: there is no device, or what the library itself says.
 *
 * @param log what it said when it was tried
 */
export function whyNoGpu({ devices, reason }: CudaSurvey, log: string): string {
  if (reason !== null) return reason;
  const said = log
    .split('\n')
    .filter((line) => /cuda|gpu|dlopen/i.test(line))
    .map((line) => line.replace(/^.*?\] /, '').trim());
  const found = `the driver has ${devices.map(({ name }) => name).join(', ')}`;
  return said.length === 0 ? found : `${found}, but TensorFlow says: ${said.slice(-2).join(' ')}`;
}
