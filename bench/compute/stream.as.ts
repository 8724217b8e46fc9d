/** Yardsticks of memory bandwidth, for benchmarks. */

/** Reads `numBytes` (a multiple of 256) in four streams, each a quarter: the kernels read four panels at once; the result keeps the compiler from leaving them out. */
export function readStreams(from: usize, numBytes: usize): i32 {
  const quarter = numBytes >> 2;
  let a = from;
  let b = a + quarter;
  let c = b + quarter;
  let d = c + quarter;
  let p = i32x4.splat(0);
  let q = p;
  let r = p;
  let s = p;
  for (const end = b; a < end; a += 32, b += 32, c += 32, d += 32) {
    p = v128.xor(p, v128.xor(v128.load(a), v128.load(a, 16)));
    q = v128.xor(q, v128.xor(v128.load(b), v128.load(b, 16)));
    r = v128.xor(r, v128.xor(v128.load(c), v128.load(c, 16)));
    s = v128.xor(s, v128.xor(v128.load(d), v128.load(d, 16)));
  }
  return i32x4.extract_lane(v128.xor(v128.xor(p, q), v128.xor(r, s)), 0);
}

export function copy(to: usize, from: usize, numBytes: usize): void {
  memory.copy(to, from, numBytes);
}
