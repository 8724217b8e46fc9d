/**
 * A process that loads the native backend of a folder, multiplies two matrices with it and tells its parent what it found, or why it does not run:
 * `node try_native.js DIR`.
 */
import { isNativeOnGpu } from '../../compute/tfjs/native/native_tensorflow.js';
import { tryNative } from '../../compute/tfjs/tf.js';

/** What the process tells: TensorFlow's version and where it computed, or why it didn't. */
export type Trial = { readonly version: string; readonly isOnGpu: boolean } | { readonly reason: string };

const dir = process.argv[2]!;
const trial = await tryNative(dir).then(
  (version): Trial => ({ version, isOnGpu: isNativeOnGpu(dir) }),
  (error: unknown): Trial => ({ reason: error instanceof Error ? error.message.split('\n')[0]! : String(error) }),
);
process.send?.(trial);
