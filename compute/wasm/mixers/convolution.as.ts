/**
 * Causal convolutions, channel by channel: a token's output is the sum over the last `width` tokens' inputs, its own included, each times a weight. The tokens
 * before a part are in its state: their last width − 1 inputs, oldest first. Sums begin with the bias and go from the oldest token to the newest.
 */
import { Part, floats } from '../attention/step.as';
import { madd } from '../linear/math.as';
import { keepOf } from './state.as';

@unmanaged
export class Convolution {
  /** float32 [width · stride], of the oldest token first, zeros in the padding. */
  weights: usize;
  /** float32 [stride], zeros in the padding; 0 = none. */
  bias: usize;
  width: i32;
  channels: i32;
  /** Of a row of the state: channels rounded up to 4. */
  stride: i32;
}

/** Output of token t of a part to `to`, `stride` floats. `inputs`: of the part's first token, every `inputBytes`; what follows a row's channels may be read. */
export function convolve(c: Convolution, inputs: usize, inputBytes: usize, t: i32, state: usize, to: usize): void {
  const rowBytes = floats(c.stride);
  let weights = c.weights;
  for (let j = 0; j < c.width; j++, weights += rowBytes) {
    const from = inputAt(c, inputs, inputBytes, t - c.width + 1 + j, state);
    if (j > 0) addProducts(from, weights, to, rowBytes, to);
    else if (c.bias != 0) addProducts(from, weights, c.bias, rowBytes, to);
    else products(from, weights, rowBytes, to);
  }
}

/** Writes the states that are kept of a part, then its own: `offset` from a state to this convolution's. */
export function advanceInputs(c: Convolution, part: Part, offset: usize, inputs: usize, inputBytes: usize): void {
  const state = part.state + offset;
  for (let i = 0; i < part.numKeeps; i++) {
    const keep = keepOf(part, i);
    lastInputs(c, inputs, inputBytes, keep.numTokens, state, keep.state + offset);
  }
  lastInputs(c, inputs, inputBytes, part.numTokens, state, state);
}

/** Where the input of token t is: before the part, in its state. */
function inputAt(c: Convolution, inputs: usize, inputBytes: usize, t: i32, state: usize): usize {
  return t < 0 ? state + floats((c.width - 1 + t) * c.stride) : inputs + <usize>t * inputBytes;
}

/** The last width − 1 inputs behind the part's first `numTokens`, which are one at least: no row of the state is read behind its successor's write. */
function lastInputs(c: Convolution, inputs: usize, inputBytes: usize, numTokens: i32, state: usize, to: usize): void {
  for (let row = 0; row < c.width - 1; row++, to += floats(c.stride)) {
    memory.copy(to, inputAt(c, inputs, inputBytes, numTokens - c.width + 1 + row, state), floats(c.channels));
  }
}

function products(x: usize, w: usize, numBytes: usize, y: usize): void {
  for (const end = x + numBytes; x < end; x += 16, w += 16, y += 16) {
    v128.store(y, f32x4.mul(v128.load(w), v128.load(x)));
  }
}

/** y = sums + w · x */
function addProducts(x: usize, w: usize, sums: usize, numBytes: usize, y: usize): void {
  for (const end = x + numBytes; x < end; x += 16, w += 16, sums += 16, y += 16) {
    v128.store(y, madd(v128.load(w), v128.load(x), v128.load(sums)));
  }
}
