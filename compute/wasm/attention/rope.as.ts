/** Rotary position embeddings (Su et al. 2021), in place. */

/** Which channels form a pair: (0,1),(2,3)… or (i, i + dim/2). */
export const INTERLEAVED: i32 = 0;
export const HALF: i32 = 1;

/**
 * Rotates `dim` channels (an even number) of each of `numHeads` heads of `numTokens` tokens. Tokens and heads begin every tokenStride and headStride floats.
 * angles: per token dim/2 cosines, then dim/2 sines.
 */
export function rope(
  x: usize,
  numTokens: i32,
  tokenStride: i32,
  numHeads: i32,
  headStride: i32,
  angles: usize,
  dim: i32,
  layout: i32,
): void {
  for (let t = 0; t < numTokens; t++) {
    let head = x;
    for (let h = 0; h < numHeads; h++) {
      if (layout == INTERLEAVED) rotatePairs(head, angles, dim);
      else rotateHalves(head, angles, dim);
      head += (<usize>headStride) << 2;
    }
    x += (<usize>tokenStride) << 2;
    angles += (<usize>dim) << 2;
  }
}

/** (a, b) → (a·cos − b·sin, b·cos + a·sin) */
function rotatePairs(x: usize, cos: usize, dim: i32): void {
  const signs = i32x4(i32.MIN_VALUE, 0, i32.MIN_VALUE, 0);
  const end = x + ((<usize>dim) << 2);
  let sin = cos + ((<usize>dim) << 1);
  for (; x + 16 <= end; x += 16, cos += 8, sin += 8) {
    const values = v128.load(x);
    const swapped = v128.shuffle<i32>(values, values, 1, 0, 3, 2);
    const cosines = twice(v128.load64_zero(cos));
    const sines = v128.xor(twice(v128.load64_zero(sin)), signs);
    v128.store(x, f32x4.add(f32x4.mul(values, cosines), f32x4.mul(swapped, sines)));
  }
  if (x < end) rotatePair(x, x + 4, cos, sin);
}

/** (p, q) → (p, p, q, q) */
function twice(pair: v128): v128 {
  return v128.shuffle<i32>(pair, pair, 0, 0, 1, 1);
}

function rotateHalves(x: usize, cos: usize, dim: i32): void {
  const half: usize = (<usize>dim) << 1;
  const end = x + half;
  for (; x + 16 <= end; x += 16, cos += 16) {
    const a = v128.load(x);
    const b = v128.load(x + half);
    const cosines = v128.load(cos);
    const sines = v128.load(cos + half);
    v128.store(x, f32x4.sub(f32x4.mul(a, cosines), f32x4.mul(b, sines)));
    v128.store(x + half, f32x4.add(f32x4.mul(b, cosines), f32x4.mul(a, sines)));
  }
  for (; x < end; x += 4, cos += 4) rotatePair(x, x + half, cos, cos + half);
}

function rotatePair(at: usize, partner: usize, cos: usize, sin: usize): void {
  const a = load<f32>(at);
  const b = load<f32>(partner);
  store<f32>(at, a * load<f32>(cos) - b * load<f32>(sin));
  store<f32>(partner, b * load<f32>(cos) + a * load<f32>(sin));
}
