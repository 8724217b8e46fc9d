/** The WebAssembly modules of each part, without .as.ts: each is made of the files of its folder and those below. */
export const MODULES = {
  product: ['comm/codec/codec', 'compute/wasm/kernels'],
  bench: ['bench/compute/stream'],
  test: [],
};

/** What the AssemblyScript compiler is called with: fast code that imports nothing. Warning 112: exported functions may return any type. */
export const ascArguments = (module, output) => [
  ...[`${module}.as.ts`, '-o', output, '-O3', '--converge', '--noAssert'],
  ...['--runtime', 'stub', '--enable', 'simd', '--disableWarning', '112'],
];
