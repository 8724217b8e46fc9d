/** What a process copies: counted by standing in for what copies, so nothing is timed meanwhile. */
import { codec, type Kernel } from '../../../comm/codec/codec.js';

type Set = (this: Uint8Array, from: ArrayLike<number>, offset?: number) => void;

const arrays = Object.getPrototypeOf(Uint8Array.prototype) as { set: Set };

/** Bytes of a row's channel in each code of the codec. */
const CODE_BYTES = { bf16: 2, fp8: 1, int8: 1 } as const;

/** Runs `work`; gives the bytes that typed arrays' `set` and the codec's conversions wrote meanwhile. What the system copies isn't among them, nor what sums write. */
export async function copiedBytesOf(work: () => Promise<void>): Promise<number> {
  let numBytes = 0;
  const { set } = arrays;
  arrays.set = function (from, offset) {
    numBytes += from.length * this.BYTES_PER_ELEMENT;
    set.call(this, from, offset);
  };
  const restore = countKernels((bytes) => (numBytes += bytes));
  try {
    await work();
    return numBytes;
  } finally {
    arrays.set = set;
    restore();
  }
}

/** Returns what ends it. */
function countKernels(count: (numBytes: number) => void): () => void {
  const kernels: Record<keyof typeof CODE_BYTES, { encode: Kernel; decode: Kernel }> = codec().kernels;
  const dtypes = Object.keys(CODE_BYTES) as (keyof typeof CODE_BYTES)[];
  const own = dtypes.map((dtype) => ({ ...kernels[dtype] }));
  const counting =
    (kernel: Kernel, bytes: number): Kernel =>
    (values, scales, codes, numRows, channels) => {
      count(numRows * channels * bytes);
      kernel(values, scales, codes, numRows, channels);
    };
  for (const [i, dtype] of dtypes.entries()) {
    kernels[dtype].encode = counting(own[i]!.encode, CODE_BYTES[dtype]);
    kernels[dtype].decode = counting(own[i]!.decode, 4);
  }
  return () => dtypes.forEach((dtype, i) => Object.assign(kernels[dtype], own[i]));
}
