/** SwiGLU networks, down(silu(gate(x)) · up(x)), over all rows of one or over the rows of several experts. A row's bits don't depend on the others. */
import { linear } from '../linear/divided.as';
import { exp4 } from '../linear/math.as';
import { Matrix, padded } from '../memory/memory.as';

/** Rows that go through a network at once: few enough that its scratch stays in a cache (kernel_expert.ts: FFN_ROWS). */
const FFN_ROWS: i32 = 64;

/** An expert and how many rows it gets. Callers write it as four words. */
@unmanaged
class Group {
  gate: usize;
  up: usize;
  down: usize;
  numRows: i32;
}

/** x: rows of gate.stride floats, zeros in the padding. y: rows of `yStride` floats. scratch: two areas of FFN_ROWS rows of down.stride floats. */
export function ffn(
  x: usize,
  numRows: i32,
  gate: usize,
  up: usize,
  down: usize,
  scratch: usize,
  y: usize,
  yStride: i32,
): void {
  const xBytes: usize = (<usize>changetype<Matrix>(gate).stride) << 2;
  for (; numRows > 0; numRows -= FFN_ROWS) {
    block(x, min(numRows, FFN_ROWS), gate, up, down, scratch, y, yStride);
    x += <usize>FFN_ROWS * xBytes;
    y += <usize>FFN_ROWS * ((<usize>yStride) << 2);
  }
}

/**
 * x: as for ffn, any number of rows. rows: indices into x, those of the first group, then of the second, … y: a row of `yStride` floats for each of them,
 * in that order. scratch: an area of FFN_ROWS rows like x's, then ffn's.
 */
export function experts(
  x: usize,
  groups: usize,
  numGroups: i32,
  rows: usize,
  scratch: usize,
  y: usize,
  yStride: i32,
): void {
  for (; numGroups > 0; numGroups--, groups += offsetof<Group>()) {
    const group = changetype<Group>(groups);
    const xBytes: usize = (<usize>changetype<Matrix>(group.gate).stride) << 2;
    for (let left = group.numRows; left > 0; left -= FFN_ROWS) {
      const count = min(left, FFN_ROWS);
      for (let i = 0; i < count; i++, rows += 4)
        memory.copy(scratch + <usize>i * xBytes, x + <usize>load<i32>(rows) * xBytes, xBytes);
      block(scratch, count, group.gate, group.up, group.down, scratch + <usize>FFN_ROWS * xBytes, y, yStride);
      y += <usize>count * ((<usize>yStride) << 2);
    }
  }
}

function block(
  x: usize,
  numRows: i32,
  gate: usize,
  up: usize,
  down: usize,
  scratch: usize,
  y: usize,
  yStride: i32,
): void {
  const intermediate = changetype<Matrix>(gate).rows;
  const stride = padded(intermediate);
  const hBytes: usize = (<usize>stride) << 2;
  const upper = scratch + <usize>FFN_ROWS * hBytes;
  linear(x, numRows, gate, scratch, stride);
  linear(x, numRows, up, upper, stride);
  swiglu(scratch, upper, numRows * stride);
  const used: usize = (<usize>intermediate) << 2;
  for (let i = 0; i < numRows; i++) memory.fill(scratch + <usize>i * hBytes + used, 0, hBytes - used);
  linear(scratch, numRows, down, y, yStride);
}

/** gate = gate / (1 + exp(−gate)) · up, in whole vectors. */
function swiglu(gate: usize, up: usize, count: i32): void {
  const one = f32x4.splat(1);
  for (const end = gate + ((<usize>count) << 2); gate < end; gate += 16, up += 16) {
    const g = v128.load(gate);
    v128.store(gate, f32x4.mul(f32x4.div(g, f32x4.add(one, exp4(f32x4.neg(g)))), v128.load(up)));
  }
}

/**
 * out row n [hidden] = Σ over k of weights[n · numTopk + k] · y row rowOfChoice[n · numTopk + k], in ascending k, where that isn't negative; product and sum
 * round to float32. y, out: rows of `hidden` floats.
 */
export function sumChoices(
  y: usize,
  rowOfChoice: usize,
  weights: usize,
  numRows: i32,
  numTopk: i32,
  hidden: i32,
  out: usize,
): void {
  const bytes: usize = (<usize>hidden) << 2;
  for (; numRows > 0; numRows--, out += bytes) {
    memory.fill(out, 0, bytes);
    for (let k = 0; k < numTopk; k++, rowOfChoice += 4, weights += 4) {
      const row = load<i32>(rowOfChoice);
      if (row >= 0) addScaled(out, y + <usize>row * bytes, hidden, load<f32>(weights));
    }
  }
}

function addScaled(to: usize, from: usize, count: i32, weight: f32): void {
  const end = to + ((<usize>count) << 2);
  const lastVector = to + ((<usize>(count & ~3)) << 2);
  const weights = f32x4.splat(weight);
  for (; to < lastVector; to += 16, from += 16)
    v128.store(to, f32x4.add(v128.load(to), f32x4.mul(weights, v128.load(from))));
  for (; to < end; to += 4, from += 4) store<f32>(to, load<f32>(to) + weight * load<f32>(from));
}
