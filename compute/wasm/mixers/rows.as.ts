/** Rows of hidden states before a mixer and behind it. */
import { Step, floats } from '../attention/step.as';
import { applyNorm } from '../linear/norm.as';
import { addRows, clearPadding } from '../linear/rows.as';
import { exp4 } from '../linear/math.as';
import { padded } from '../memory/memory.as';
import { CHUNK_ROWS } from '../threads/parallel.as';

/** Norms the rows of a chunk of x to the same rows of `normed`, zeros in the padding. */
export function normChunk(s: Step, hiddenSize: i32, norm: usize, normed: usize, index: i32): void {
  const stride = padded(hiddenSize);
  const at = floats(index * CHUNK_ROWS * stride);
  const count = rowsOfChunk(s, index);
  applyNorm(s.x + at, count, hiddenSize, stride, norm, normed + at, stride);
  clearPadding(normed + at, count, hiddenSize, stride);
}

/** Adds the rows of a chunk to x. */
export function addChunk(s: Step, hiddenSize: i32, rows: usize, index: i32): void {
  const stride = padded(hiddenSize);
  const at = floats(index * CHUNK_ROWS * stride);
  addRows(s.x + at, rows + at, rowsOfChunk(s, index), hiddenSize, stride);
}

/** How many rows of the step a chunk has. */
export function rowsOfChunk(s: Step, index: i32): i32 {
  return min(CHUNK_ROWS, s.numTokens - index * CHUNK_ROWS);
}

/** silu(x) = x / (1 + e^−x) */
export function silu4(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}

/** x = x · silu(gate), `count` floats. */
export function gateRow(x: usize, gate: usize, count: i32): void {
  const end = x + floats(count);
  for (; x + 16 <= end; x += 16, gate += 16) v128.store(x, f32x4.mul(v128.load(x), silu4(v128.load(gate))));
  for (; x < end; x += 4, gate += 4) {
    const gated = f32x4.mul(f32x4.splat(load<f32>(x)), silu4(f32x4.splat(load<f32>(gate))));
    store<f32>(x, f32x4.extract_lane(gated, 0));
  }
}

/** x = x · y, `count` floats. */
export function multiplyRow(x: usize, y: usize, count: i32): void {
  const end = x + floats(count);
  for (; x + 16 <= end; x += 16, y += 16) v128.store(x, f32x4.mul(v128.load(x), v128.load(y)));
  for (; x < end; x += 4, y += 4) store<f32>(x, load<f32>(x) * load<f32>(y));
}
