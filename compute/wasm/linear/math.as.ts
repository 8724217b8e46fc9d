/** Functions of four floats at once. */

/**
 * a · b + c: rounded twice, or once where the module is compiled for relaxed SIMD and the processor fuses. What products and attention sum with.
 * Why: docs/decisions/kernels.md#all-ranks-fuse-or-none
 */
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** 1.5 · 2²³: beside it the last bit is worth 1, so adding it rounds, and the low bits are the whole number. */
const ROUND: f32 = 12582912;
const ROUND_BITS: i32 = 0x4b400000;
/** ln 2 in two parts; the first has 9 bits, so that its products with exponents are exact. */
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.1219444e-4;

/**
 * eˣ, within 1 ulp; subnormal and infinite where eˣ is, 0 below −104; NaN stays NaN.
 * The polynomial is Cephes' expf (Moshier, 1992). Its steps are functions that the compiler inlines, which it would not do with the whole.
 */
export function exp4(x: v128): v128 {
  const bounded = bound(x);
  const rounded = roundToLn2(bounded);
  return timesPowerOfTwo(powerOf(restOf(bounded, rounded)), rounded);
}

/** to[i] = e^(from[i] − shift) for eight floats: two vectors side by side, which become one of 256 bits where there are such. */
export function exp8(from: usize, shift: f32, to: usize): void {
  const lowX = bound(f32x4.sub(v128.load(from), f32x4.splat(shift)));
  const highX = bound(f32x4.sub(v128.load(from, 16), f32x4.splat(shift)));
  const low = roundToLn2(lowX);
  const high = roundToLn2(highX);
  v128.store(to, timesPowerOfTwo(powerOf(restOf(lowX, low)), low));
  v128.store(to, timesPowerOfTwo(powerOf(restOf(highX, high)), high), 16);
}

/** Beyond these bounds nothing changes any more; NaN passes a pmin or pmax whose first operand it is. */
function bound(x: v128): v128 {
  return f32x4.pmax(f32x4.pmin(x, f32x4.splat(89)), f32x4.splat(-104));
}

/** x = n · ln 2 + r: n in the low bits, and as a float when ROUND is taken away. */
function roundToLn2(x: v128): v128 {
  return f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504)), f32x4.splat(ROUND));
}

/** r */
function restOf(x: v128, rounded: v128): v128 {
  const n = f32x4.sub(rounded, f32x4.splat(ROUND));
  const upper = f32x4.sub(x, f32x4.mul(n, f32x4.splat(LN2_HIGH)));
  return f32x4.sub(upper, f32x4.mul(n, f32x4.splat(LN2_LOW)));
}

/** eʳ = 1 + r + r² · p(r) */
function powerOf(r: v128): v128 {
  return f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(r, r), lowTerms(highTerms(r), r)), r), f32x4.splat(1));
}

function highTerms(r: v128): v128 {
  let p = f32x4.splat(1.98756915e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  return f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
}

function lowTerms(p: v128, r: v128): v128 {
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  return f32x4.add(f32x4.mul(p, r), f32x4.splat(5.0000001201e-1));
}

/** x · 2ⁿ in two steps: n reaches from −150 to 128, beyond what one exponent holds. */
function timesPowerOfTwo(x: v128, rounded: v128): v128 {
  const whole = i32x4.sub(rounded, i32x4.splat(ROUND_BITS));
  const half = i32x4.shr_s(whole, 1);
  return f32x4.mul(f32x4.mul(x, powerOfTwo(half)), powerOfTwo(i32x4.sub(whole, half)));
}

/** 2ⁿ for four whole numbers from −126 to 127. */
function powerOfTwo(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23);
}

/** y = eˣ of `count` floats, in whole vectors: the last may pass the end. */
export function exp(x: usize, count: i32, y: usize): void {
  for (const end = x + ((<usize>count) << 2); x < end; x += 16, y += 16) v128.store(y, exp4(v128.load(x)));
}
