/** What dense layers and shared experts do to hidden states, in one call each. */
import { ffn, ffnBytes } from './ffn.as';
import { Matrix, padded } from '../memory/memory.as';
import { applyNorm } from '../linear/norm.as';
import { addRows, clearPadding, scaleRows } from '../linear/rows.as';
import { bytesOf, floats, lacking } from '../attention/step.as';

@unmanaged
export class FfnLayer {
  /** Address of a {@link Norm}. */
  norm: usize;
  gate: usize;
  up: usize;
  down: usize;
  /** What is added to x is multiplied with it. */
  residual: f32;
  hiddenSize: i32;
}

/** x += residual · ffn(norm(x)), rows of padded(hidden). Returns 0, or the bytes of scratch memory that it needs, and then nothing changed. */
export function ffnLayer(layer: usize, x: usize, numTokens: i32, scratch: usize, scratchBytes: usize): usize {
  const l = changetype<FfnLayer>(layer);
  const stride = padded(l.hiddenSize);
  const rowBytes = floats(numTokens * stride);
  const needed = 2 * bytesOf(numTokens, stride) + ffnBytes(l.down, numTokens);
  if (needed > <u64>scratchBytes) return lacking(needed);
  const y = scratch + rowBytes;
  applyNorm(x, numTokens, l.hiddenSize, stride, l.norm, scratch, stride);
  clearPadding(scratch, numTokens, l.hiddenSize, stride);
  ffn(scratch, numTokens, l.gate, l.up, l.down, y + rowBytes, y, stride);
  scaleRows(y, numTokens, l.hiddenSize, stride, l.residual);
  addRows(x, y, numTokens, l.hiddenSize, stride);
  return 0;
}

/** x [T · padded(hidden)] += residual · (y [T·hidden] + shared [T · padded(hidden)] (0 = none)): the order in which the tensors' form adds. y is overwritten. */
export function addExperts(x: usize, y: usize, shared: usize, numTokens: i32, hidden: i32, residual: f32): void {
  const stride = floats(padded(hidden));
  const end = x + <usize>numTokens * stride;
  for (; x < end; x += stride, y += floats(hidden)) {
    if (shared != 0) {
      addRows(y, shared, 1, hidden, hidden);
      shared += stride;
    }
    scaleRows(y, 1, hidden, hidden, residual);
    addRows(x, y, 1, hidden, hidden);
  }
}
