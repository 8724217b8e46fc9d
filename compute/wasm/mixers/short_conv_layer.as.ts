/**
 * A layer whose tokens see the last ones through a convolution between two gates (LFM2): x += out(c · conv(b · h)), where b, c and h are what the first
 * projection makes of norm(x). A layer's part of a state: the inputs of the convolution (convolution.as.ts).
 */
import { Step, bytesOf, floats, lacking, partOf } from '../attention/step.as';
import { linear } from '../linear/divided.as';
import { addRows, clearPadding } from '../linear/rows.as';
import { Matrix, here, padded } from '../memory/memory.as';
import { CHUNK_ROWS, parallel, parallelRows } from '../threads/parallel.as';
import { Convolution, advanceInputs, convolve } from './convolution.as';
import { addChunk, multiplyRow, normChunk, rowsOfChunk } from './rows.as';

@unmanaged
export class ShortConvLayer {
  /** Address of a {@link Norm}. */
  norm: usize;
  /** Matrices: [b | c | h], and back. */
  input: usize;
  output: usize;
  /** float32, of both; 0 = none. */
  inputBias: usize;
  outputBias: usize;
  convolution: usize;
  hiddenSize: i32;
  /** From a state to this layer's part. */
  stateOffset: usize;
}

@unmanaged
class Pass {
  layer: usize;
  step: usize;
  normed: usize;
  /** Rows [b | c | h]. */
  projected: usize;
  /** Every how many floats. */
  projectedStride: i32;
  /** Rows that the second projection takes. */
  convolved: usize;
}

const passAt: usize = memory.data(offsetof<Pass>(), 16);

/** Returns 0, or the bytes of scratch memory that it needs, and then nothing changed. */
export function shortConvLayer(layer: usize, step: usize): usize {
  const l = changetype<ShortConvLayer>(layer);
  const s = changetype<Step>(step);
  // 1. Scratch memory.
  const numTokens = s.numTokens;
  const hiddenStride = padded(l.hiddenSize);
  const projectedStride = padded(3 * l.hiddenSize);
  const convolvedStride = changetype<Matrix>(l.output).stride;
  const needed = bytesOf(numTokens, hiddenStride + projectedStride + convolvedStride);
  if (needed > <u64>s.scratchBytes) return lacking(needed);
  const pass = changetype<Pass>(here(passAt));
  pass.layer = layer;
  pass.step = step;
  pass.normed = s.scratch;
  pass.projected = pass.normed + floats(numTokens * hiddenStride);
  pass.projectedStride = projectedStride;
  pass.convolved = pass.projected + floats(numTokens * projectedStride);
  // 2. b · h in the place of b.
  const args = changetype<usize>(pass);
  parallelRows(normRows, numTokens, hiddenStride, args);
  linear(pass.normed, numTokens, l.input, pass.projected, projectedStride);
  parallelRows(gateRows, numTokens, projectedStride, args);
  // 3. The convolution, and what the next step will see of it.
  parallelRows(convolveRows, numTokens, 4 * projectedStride, args);
  parallel(advancePart, s.numParts, args);
  // 4. Back into x.
  linear(pass.convolved, numTokens, l.output, pass.normed, hiddenStride);
  parallelRows(addBack, numTokens, hiddenStride, args);
  return 0;
}

function normRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<ShortConvLayer>(pass.layer);
  normChunk(changetype<Step>(pass.step), l.hiddenSize, l.norm, pass.normed, index);
}

function gateRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<ShortConvLayer>(pass.layer);
  const hidden = l.hiddenSize;
  const count = rowsOfChunk(changetype<Step>(pass.step), index);
  let row = pass.projected + floats(index * CHUNK_ROWS * pass.projectedStride);
  for (let i = 0; i < count; i++, row += floats(pass.projectedStride)) {
    if (l.inputBias != 0) addRows(row, l.inputBias, 1, 3 * hidden, 3 * hidden);
    multiplyRow(row, row + floats(2 * hidden), hidden);
  }
}

/** Rows of a chunk, in the parts that they are of. */
function convolveRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<ShortConvLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const stride = changetype<Matrix>(l.output).stride;
  const first = index * CHUNK_ROWS;
  const end = first + rowsOfChunk(s, index);
  const rowBytes = floats(pass.projectedStride);
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    const inputs = pass.projected + <usize>part.rowStart * rowBytes;
    for (let row = max(first, part.rowStart); row < min(end, part.rowStart + part.numTokens); row++) {
      const t = row - part.rowStart;
      const to = pass.convolved + floats(row * stride);
      convolve(changetype<Convolution>(l.convolution), inputs, rowBytes, t, part.state + l.stateOffset, to);
      multiplyRow(to, inputs + <usize>t * rowBytes + floats(l.hiddenSize), l.hiddenSize);
      clearPadding(to, 1, l.hiddenSize, stride);
    }
  }
}

function advancePart(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<ShortConvLayer>(pass.layer);
  const part = partOf(changetype<Step>(pass.step), index);
  const rowBytes = floats(pass.projectedStride);
  const inputs = pass.projected + <usize>part.rowStart * rowBytes;
  advanceInputs(changetype<Convolution>(l.convolution), part, l.stateOffset, inputs, rowBytes);
}

function addBack(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<ShortConvLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const stride = padded(l.hiddenSize);
  if (l.outputBias != 0) {
    let row = pass.normed + floats(index * CHUNK_ROWS * stride);
    const count = rowsOfChunk(s, index);
    for (let i = 0; i < count; i++, row += floats(stride)) addRows(row, l.outputBias, 1, l.hiddenSize, stride);
  }
  addChunk(s, l.hiddenSize, pass.normed, index);
}
