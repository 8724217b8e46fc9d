/**
 * The gated delta rule (Yang et al. 2024), token by token. Of a value head there is a matrix S [key channels, value channels]; a token with query q, key k, value v,
 * decay a and rate b makes of it
 *
 *     S ← a · S,  S ← S + k ⊗ b · (v − Sᵀk),  and its output is Sᵀq.
 *
 * Value channels know nothing of each other: 16 of them are a panel, [key channels][16] floats, which stays in the L1 cache for all tokens of a part.
 * All sums go over the key channels in their order, so that a token's bits depend on the state before it and on itself, however tokens are divided into steps.
 * Why: docs/decisions/states.md#token-by-token
 */
import { floats } from '../attention/step.as';
import { madd } from '../linear/math.as';

/** Value channels of a panel, and their bytes. */
export const CHANNELS: i32 = 16;
const ROW: usize = 64;

export function panelFloats(numKeys: i32): i32 {
  return numKeys * CHANNELS;
}

/** Takes a panel one token further. `key`, `query`: numKeys floats; `value`, `out`: 16. */
export function deltaStep(
  panel: usize,
  numKeys: i32,
  key: usize,
  value: usize,
  decayOf: f32,
  rateOf: f32,
  query: usize,
  out: usize,
): void {
  const end = panel + floats(panelFloats(numKeys));
  const decay = f32x4.splat(decayOf);
  // 1. What the state holds of the key.
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  for (let row = panel, at = key; row < end; row += ROW, at += 4) {
    const k = v128.load32_splat(at);
    a = madd(f32x4.mul(v128.load(row), decay), k, a);
    b = madd(f32x4.mul(v128.load(row, 16), decay), k, b);
    c = madd(f32x4.mul(v128.load(row, 32), decay), k, c);
    d = madd(f32x4.mul(v128.load(row, 48), decay), k, d);
  }
  // 2. What the token changes of it.
  const rate = f32x4.splat(rateOf);
  a = f32x4.mul(f32x4.sub(v128.load(value), a), rate);
  b = f32x4.mul(f32x4.sub(v128.load(value, 16), b), rate);
  c = f32x4.mul(f32x4.sub(v128.load(value, 32), c), rate);
  d = f32x4.mul(f32x4.sub(v128.load(value, 48), d), rate);
  // 3. The state behind it, and what the query finds there.
  update(panel, end, key, query, decay, a, b, c, d, out);
}

function update(
  panel: usize,
  end: usize,
  key: usize,
  query: usize,
  decay: v128,
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  out: usize,
): void {
  let outA = f32x4.splat(0);
  let outB = f32x4.splat(0);
  let outC = f32x4.splat(0);
  let outD = f32x4.splat(0);
  for (let row = panel; row < end; row += ROW, key += 4, query += 4) {
    const k = v128.load32_splat(key);
    const q = v128.load32_splat(query);
    const rowA = madd(k, a, f32x4.mul(v128.load(row), decay));
    const rowB = madd(k, b, f32x4.mul(v128.load(row, 16), decay));
    const rowC = madd(k, c, f32x4.mul(v128.load(row, 32), decay));
    const rowD = madd(k, d, f32x4.mul(v128.load(row, 48), decay));
    v128.store(row, rowA);
    v128.store(row, rowB, 16);
    v128.store(row, rowC, 32);
    v128.store(row, rowD, 48);
    outA = madd(rowA, q, outA);
    outB = madd(rowB, q, outB);
    outC = madd(rowC, q, outC);
    outD = madd(rowD, q, outD);
  }
  v128.store(out, outA);
  v128.store(out, outB, 16);
  v128.store(out, outC, 32);
  v128.store(out, outD, 48);
}
