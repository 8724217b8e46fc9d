/**
 * A process that loads the native backend of a folder, multiplies two matrices with it and tells its parent the version of TensorFlow, or why it does
 * not run: `node try_native.js DIR`.
 */
import { tryNative } from '../../experts/tf.js';

/** What the process tells. */
export type Trial = { readonly version: string } | { readonly reason: string };

const trial = await tryNative(process.argv[2]!).then(
  (version): Trial => ({ version }),
  (error: unknown): Trial => ({ reason: error instanceof Error ? error.message.split('\n')[0]! : String(error) }),
);
process.send?.(trial);
