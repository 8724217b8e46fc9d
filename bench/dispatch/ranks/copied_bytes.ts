/** What a process copies: counted by standing in for what copies, so nothing is timed meanwhile. */
import type { RowsMemory } from '../../../base/float_rows.js';
import { codec, codecIn, type Codec, type DtypeKernels, type Kernel } from '../../../comm/codec/codec.js';

type Set = (this: Uint8Array, from: ArrayLike<number>, offset?: number) => void;

const arrays = Object.getPrototypeOf(Uint8Array.prototype) as { set: Set };

/** Bytes of a row's channel in each code of the codec. */
const CODE_BYTES = { bf16: 2, fp8: 1, int8: 1 } as const;

/** Runs `work`; gives the bytes that typed arrays' `set` and the codec's conversions, in the memory too, wrote meanwhile. What the system copies isn't among them, nor what sums write. */
export async function copiedBytesOf(memory: RowsMemory, work: () => Promise<void>): Promise<number> {
  let numBytes = 0;
  const { set } = arrays;
  arrays.set = function (from, offset) {
    numBytes += from.length * this.BYTES_PER_ELEMENT;
    set.call(this, from, offset);
  };
  const restore = [codec(), codecIn(memory)].map((each) => countKernels(each, (bytes) => (numBytes += bytes)));
  try {
    await work();
    return numBytes;
  } finally {
    arrays.set = set;
    for (const each of restore) each();
  }
}

/** Returns what ends it. */
function countKernels({ kernels: all }: Codec, count: (numBytes: number) => void): () => void {
  const kernels: Record<keyof typeof CODE_BYTES, { -readonly [K in keyof DtypeKernels]: DtypeKernels[K] }> = all;
  const dtypes = Object.keys(CODE_BYTES) as (keyof typeof CODE_BYTES)[];
  const own = dtypes.map((dtype) => ({ ...kernels[dtype] }));
  const counting =
    (kernel: Kernel, bytes: number): Kernel =>
    (values, scales, codes, numRows, channels) => {
      count(numRows * channels * bytes);
      kernel(values, scales, codes, numRows, channels);
    };
  for (const [i, dtype] of dtypes.entries()) {
    const { encode, decode, round } = own[i]!;
    kernels[dtype].encode = counting(encode, CODE_BYTES[dtype]);
    kernels[dtype].decode = counting(decode, 4);
    kernels[dtype].round = (from, to, scales, codes, numRows, channels) => {
      count(4 * numRows * channels);
      round(from, to, scales, codes, numRows, channels);
    };
  }
  return () => dtypes.forEach((dtype, i) => Object.assign(kernels[dtype], own[i]));
}
