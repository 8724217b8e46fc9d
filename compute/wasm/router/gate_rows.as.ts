/** One more gate: of what all tokens' shared experts make. */
import { linear } from '../linear/divided.as';
import { exp64 } from './exp64.as';

/**
 * Rows y of `width` floats, every `yStride`, each times sigmoid(x · gate) of its row of x. x: rows as wide as the gate's. gate: a matrix of one row. logits: room for a
 * float per row. A row's bits don't depend on the others.
 */
export function gateRows(x: usize, numRows: i32, gate: usize, logits: usize, y: usize, width: i32, yStride: i32): void {
  linear(x, numRows, gate, logits, 1);
  for (let row: usize = 0; row < <usize>numRows; row++) {
    const share = 1 / (1 + exp64(-(<f64>load<f32>(logits + (row << 2)))));
    scaleRow(y + ((row * <usize>yStride) << 2), width, <f32>share);
  }
}

function scaleRow(x: usize, width: i32, factor: f32): void {
  const end = x + ((<usize>width) << 2);
  const factors = f32x4.splat(factor);
  for (; x + 16 <= end; x += 16) v128.store(x, f32x4.mul(v128.load(x), factors));
  for (; x < end; x += 4) store<f32>(x, load<f32>(x) * factor);
}
