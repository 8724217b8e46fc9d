/** `--backend` of commands that don't read a configuration. */
import { configSchema } from '../../config/schema.js';
import type { BackendChoice } from '../../../compute/tfjs/tf.js';
import { UsageError } from './context.js';

const NAMES = configSchema.shape.backend.options;

/** For help texts. */
export const BACKEND_NAMES = `${NAMES.slice(0, -1).join(', ')} or ${NAMES.at(-1)!}`;

/** @throws UsageError */
export function backendChoice(name: string | undefined): BackendChoice | undefined {
  const known = NAMES.find((each) => each === name);
  if (name !== undefined && known === undefined) {
    throw new UsageError(`--backend is '${name}'; give ${BACKEND_NAMES}`);
  }
  return known;
}
