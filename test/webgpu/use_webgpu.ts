import { closeDevices, selectBackend, type BackendReport } from '../../compute/tfjs/tf.js';

/**
 * Makes `webgpu` the backend of the suites of the file that awaits this, and gives its device back after them.
 *
 * @throws ExpertError that says what to install: a suite that can't run must not look as if it had passed
 */
export async function useWebgpu(): Promise<BackendReport> {
  const report = await selectBackend('webgpu');
  after(closeDevices);
  return report;
}
