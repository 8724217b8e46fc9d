import type { StartedBackend } from '../library/started_backend.js';
import { activate, loadBackend } from '../library/tfjs.js';

/** Makes the backend in plain JavaScript the active one. `auto` never takes it. */
export async function startCpu(): Promise<StartedBackend> {
  loadBackend('cpu');
  await activate('cpu');
  return { isAutomatic: false, detail: 'pure JavaScript, for tests' };
}
