/** Loaded before tests by `--import`: kernels that nobody said anything about fuse products and sums. */
import { PLAIN_KERNELS } from '../../../compute/wasm/memory/kernel_settings.js';

(PLAIN_KERNELS as { fma: boolean }).fma = true;
