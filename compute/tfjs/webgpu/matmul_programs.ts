/** Which of TensorFlow.js's WebGPU programs multiplies two matrices. */
import { FUSED } from '../library/fused_kernels.js';
import { tf, type TensorInfo } from '../library/tfjs.js';
import type { GuardedBackend } from './guarded_backend.js';

/** Its own numbers for them; `own` leaves it the choice. */
export const PROGRAM = { own: -1, reduce: 0, splitK: 1, small: 2, packed: 3 } as const;
/** One of the numbers of {@link PROGRAM}. */
export type Program = (typeof PROGRAM)[keyof typeof PROGRAM];

/** Where TensorFlow.js begins to split sums among workgroups. */
const SPLIT_FROM = 2000;

/**
 * The program for [M,K] · [K,N]. TensorFlow.js splits long sums among workgroups, which add to the result in any order: the same prompt would give
 * other bits each time, so those go to the program that it takes for shorter ones. On a software renderer all do: a barrier costs a switch of threads
 * there, and the program for few outputs has the most of them (14 times as long for 1 × 64 · 64 × 128). Pure.
 */
export function programFor(numRows: number, inner: number, numColumns: number, isSoftware: boolean): Program {
  if (isSoftware) return PROGRAM.small;
  if (inner < SPLIT_FROM || numRows * numColumns <= 128) return PROGRAM.own;
  const numTiles = Math.ceil(numRows / 32) * Math.ceil(numColumns / 32);
  return numTiles <= (numRows <= 8 ? 32 : 16) ? PROGRAM.small : PROGRAM.packed;
}

const FLAG = 'WEBGPU_MATMUL_PROGRAM_TYPE';

/** A kernel that has TensorFlow.js multiply by these programs; to be registered once. */
export function registerMatMul(): void {
  const { kernelFunc } = tf.getKernel('BatchMatMul', 'webgpu');
  tf.registerKernel({
    kernelName: FUSED.matMul,
    backendName: 'webgpu',
    kernelFunc: ({ inputs, backend }) => {
      const { a, b } = inputs as { readonly a: TensorInfo; readonly b: TensorInfo };
      const { isSoftware } = (backend as unknown as GuardedBackend).guarded.report;
      tf.env().set(FLAG, programFor(a.shape[0]!, a.shape[1]!, b.shape[1]!, isSoftware));
      return kernelFunc({ inputs, backend, attrs: { transposeA: false, transposeB: false } });
    },
  });
}
