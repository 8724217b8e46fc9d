/**
 * eˣ in float64 with the bits of V8's Math.exp, so that equal logits are routed alike by this module and by experts/routing/select_experts.ts: sums of scores that tie but for
 * rounding are common, as sigmoid(x) + sigmoid(−x). Both are fdlibm's e_exp.c (Sun Microsystems, 1993: permission to use, copy, modify and distribute).
 * Why: docs/decisions/routing.md#the-exponential-of-the-router
 */
const LN2_HIGH: f64 = 6.9314718036912381649e-1;
const LN2_LOW: f64 = 1.90821492927058770002e-10;
const INV_LN2: f64 = 1.442695040888963387;
const P1: f64 = 1.66666666666666019037e-1;
const P2: f64 = -2.77777777770155933842e-3;
const P3: f64 = 6.61375632143793436117e-5;
const P4: f64 = -1.6533902205465251539e-6;
const P5: f64 = 4.13813679705723846039e-8;
/** Beyond them eˣ is infinite, or 0. */
const HIGHEST: f64 = 7.09782712893383973096e2;
const LOWEST: f64 = -7.4513321910194110842e2;

/** x is not NaN. */
export function exp64(x: f64): f64 {
  if (x > HIGHEST) return Infinity;
  if (x < LOWEST) return 0;
  const size = (<u32>(reinterpret<u64>(x) >> 32)) & 0x7fffffff;
  // 1. x = k · ln 2 + r, where r is high − low; |r| ≤ ln 2 / 2.
  if (size <= 0x3fd62e42) return size < 0x3e300000 ? 1 + x : nearZero(x);
  let k = x < 0 ? -1 : 1;
  if (size >= 0x3ff0a2b2) k = <i32>(INV_LN2 * x + (x < 0 ? -0.5 : 0.5));
  else if (x == 1) return Math.E;
  const high = x - <f64>k * LN2_HIGH;
  const low = <f64>k * LN2_LOW;
  // 2. eʳ · 2ᵏ.
  const r = high - low;
  const c = rest(r);
  return scale(1 - (low - (r * c) / (2 - c) - high), k);
}

function nearZero(x: f64): f64 {
  const c = rest(x);
  return 1 - ((x * c) / (c - 2) - x);
}

function rest(r: f64): f64 {
  const t = r * r;
  return r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))));
}

/** y · 2ᵏ, in two steps where one exponent doesn't hold k. */
function scale(y: f64, k: i32): f64 {
  if (k == 1024) return y * 2 * 8.98846567431157953865e307;
  if (k >= -1021) return y * powerOfTwo(k);
  return y * powerOfTwo(k + 1000) * 9.3326361850321887899e-302;
}

function powerOfTwo(k: i32): f64 {
  return reinterpret<f64>((<u64>(1023 + k)) << 52);
}
