/** Kernels that expertwire adds to some backends; where one lacks them, ops.ts runs a chain of the backend's own. */
import { tf, type KernelConfig } from './tfjs.js';

/** Their names, by what they compute; TensorFlow.js has none of these. */
export const FUSED = {
  matMul: 'ExpertwireMatMul',
  rmsNorm: 'ExpertwireRmsNorm',
  swiglu: 'ExpertwireSwiglu',
  expRows: 'ExpertwireExpRows',
} as const;

/** The types promise a kernel for every name. */
export const hasKernel = (kernelName: string, backend: string): boolean =>
  (tf.getKernel as (name: string, backend: string) => KernelConfig | undefined)(kernelName, backend) !== undefined;

/** Whether the active backend has it. */
export const isFused = (kernelName: string): boolean => hasKernel(kernelName, tf.getBackend());
