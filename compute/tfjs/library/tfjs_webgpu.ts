/** What is used of TensorFlow.js's backend on WebGPU, whose package may not be installed. */
import type { TensorInfo } from '@tensorflow/tfjs-core';
import type { GpuAdapterInfo, GpuBuffer, GpuDevice } from './dawn.js';

/** The package's exports that are used. */
export interface TfjsWebgpu {
  readonly WebGPUBackend: new (device: GpuDevice, info: GpuAdapterInfo) => WebgpuBackendBase;
}

/** Where a tensor's values are: on the device, and before that in JavaScript. */
interface TensorData {
  readonly shape: readonly number[];
  values: Values | null;
  readonly resource?: GpuBuffer | null;
}

/** What a tensor's values are as a typed array. */
export type Values = Float32Array | Int32Array | Uint8Array;

/** Identity of a tensor's values; several tensors may share them. */
export type DataId = object;

/** The backend's methods that are used or overridden; they keep the names of TensorFlow.js. */
export interface WebgpuBackendBase {
  readonly bufferManager: BufferManager;
  readonly tensorMap: { get(id: DataId): TensorData };
  /** Keeps values of a new tensor, in JavaScript for now; null or undefined: a kernel is going to make them. */
  write(values: Values | null | undefined, shape: readonly number[], dtype: string): DataId;
  /** The tensor's values, once the device has computed them. */
  read(id: DataId): Promise<Values>;
  /** Gives the tensor a buffer, and it its values, if it has none yet. */
  uploadToGPU(id: DataId): void;
  /** Sends what was recorded to the device. */
  submitQueue(): void;
  /** Opens an encoder for commands if none is open. */
  ensureCommandEncoderReady(): void;
  /** Ends the pass that is being recorded, if there is one. */
  endComputePassEncoder(): void;
  /** Records one run of a program; returns the tensor that it makes, of the program's `outputShape`. */
  runWebGPUProgram(
    program: WebgpuProgram,
    inputs: readonly TensorInfo[],
    dtype: 'float32',
    uniforms: readonly Uniform[],
  ): TensorInfo;
  /** Frees all tensors and buffers. */
  dispose(): void;
}

/** Buffers by size and use; what is released is kept for the next of the same size. */
interface BufferManager {
  readonly freeBuffers: Map<string, GpuBuffer[]>;
  readonly numBytesUsed: number;
  numBytesAllocated: number;
  numFreeBuffers: number;
}

/** A WGSL function `main` and what TensorFlow.js needs to know to call it. */
export interface WebgpuProgram {
  readonly variableNames: readonly string[];
  readonly outputShape: readonly number[];
  /** Declarations of the uniforms that it is given, in their order. */
  readonly uniforms: string;
  /** Programs of equal keys, input ranks and workgroup sizes share their code. */
  readonly shaderKey: string;
  readonly workgroupSize: readonly [number, number, number];
  /** Which dimensions of the output the x axis of the dispatch runs over. */
  readonly dispatchLayout: { readonly x: readonly number[] };
  /** Workgroups; TensorFlow.js makes a square or cube of a row that is longer than the device allows. */
  dispatch: readonly [number, number, number];
  /** The program in WGSL, without the declarations that TensorFlow.js adds. */
  getUserCode(): string;
}

/** A value that a program gets besides its tensors. */
export interface Uniform {
  readonly type: 'int32' | 'float32';
  readonly data: readonly number[];
}
