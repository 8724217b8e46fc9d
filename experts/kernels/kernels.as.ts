/** The compute kernels: one AssemblyScript module, compiled to kernels.wasm beside kernel_memory.js. Callers check sizes and bounds. */
export { heapBase } from './memory.as';
export { decode, encode, stagingAt, stagingValues } from './convert.as';
export { exp } from './math.as';
export { linear } from './linear.as';
