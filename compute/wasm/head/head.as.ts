/** Into the hidden states and out of them: embedding rows, and logits. */
import { linear } from '../linear/divided.as';
import { rowOf } from '../linear/panels.as';
import { Matrix, padded } from '../memory/memory.as';
import { applyNorm } from '../linear/norm.as';
import { addVector, clearPadding, scaleRows } from '../linear/rows.as';
import { bytesOf, floats, lacking } from '../attention/step.as';

/** x [numTokens · stride] = the matrix's rows of these tokens (i32, each below `rows`), as floats, multiplied with `factor`. */
export function embed(tokens: usize, numTokens: i32, matrix: usize, x: usize, factor: f32): void {
  const w = changetype<Matrix>(matrix);
  const first = x;
  for (let t = 0; t < numTokens; t++, tokens += 4, x += floats(w.stride)) rowOf(w, load<i32>(tokens), x);
  scaleRows(first, numTokens, w.stride, w.stride, factor);
}

/** The final norm and the matrix from hidden states to logits. */
@unmanaged
export class Head {
  /** Address of a {@link Norm}. */
  norm: usize;
  matrix: usize;
  /** float32, added to the logits; 0 = none. */
  bias: usize;
  hiddenSize: i32;
}

/**
 * logits of some rows (i32) of x, every `stride` floats; the floats behind a row's logits stay as they are.
 * Returns 0, or the bytes of scratch memory that it needs, and then nothing changed.
 */
export function logitsOf(
  head: usize,
  x: usize,
  rows: usize,
  numRows: i32,
  logits: usize,
  stride: i32,
  scratch: usize,
  scratchBytes: usize,
): usize {
  const h = changetype<Head>(head);
  const hiddenStride = padded(h.hiddenSize);
  const needed = bytesOf(numRows, hiddenStride);
  if (needed > <u64>scratchBytes) return lacking(needed);
  for (let i = 0; i < numRows; i++, rows += 4) {
    const row = x + <usize>load<u32>(rows) * floats(hiddenStride);
    applyNorm(row, 1, h.hiddenSize, hiddenStride, h.norm, scratch + floats(i * hiddenStride), hiddenStride);
  }
  clearPadding(scratch, numRows, h.hiddenSize, hiddenStride);
  linear(scratch, numRows, h.matrix, logits, stride);
  if (h.bias != 0) addVector(logits, numRows, h.bias, changetype<Matrix>(h.matrix).rows, stride);
  return 0;
}
