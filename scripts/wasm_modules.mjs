/** The WebAssembly modules of each part, without .as.ts: each is made of the files of its folder and those below. `_fma`: the same files with fused multiply-add. */
export const MODULES = {
  product: ['comm/codec/codec', 'compute/wasm/kernels', 'compute/wasm/kernels_fma', 'lib/model/random_fill'],
  bench: ['bench/compute/stream'],
  test: [],
};

/** Modules that work in a memory that threads share: their caller makes it, of at least so many pages (kernel_memory.ts, codec.ts: INITIAL_PAGES). */
const sharedMemory = (numPages) => [
  ...['--enable', 'threads', '--importMemory', '--sharedMemory'],
  ...['--initialMemory', numPages, '--maximumMemory', '65536', '--zeroFilledMemory'],
];

/** What the AssemblyScript compiler is called with: fast code that imports a memory at most. Warning 112: exported functions may return any type. */
export const ascArguments = (module, output) => [
  ...[`${module.replace(/_fma$/, '')}.as.ts`, '-o', output, '-O3', '--converge', '--noAssert'],
  ...['--runtime', 'stub', '--enable', 'simd', '--disableWarning', '112'],
  ...(module.startsWith('compute/wasm/') ? sharedMemory('16') : []),
  ...(module.startsWith('comm/codec/') ? sharedMemory('4') : []),
  ...(module.endsWith('_fma') ? ['--enable', 'relaxed-simd'] : []),
];
