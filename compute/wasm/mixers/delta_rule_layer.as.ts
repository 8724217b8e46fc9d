/**
 * A layer of linear attention (Gated DeltaNet, Yang et al. 2024, as Qwen3-Next has it): x += out(norm(delta rule) · silu(z)). Queries, keys and values go
 * through a convolution and silu; queries and keys have length 1 then, queries over the root of their size.
 * A layer's part of a state: the inputs of the convolution (convolution.as.ts), then for each value head its panels (delta_rule.as.ts).
 */
import { Part, Step, bytesOf, floats, lacking, partOf } from '../attention/step.as';
import { roundUp4 } from '../attention/lane.as';
import { linear } from '../linear/divided.as';
import { applyNorm } from '../linear/norm.as';
import { clearPadding } from '../linear/rows.as';
import { Matrix, here, padded } from '../memory/memory.as';
import { exp64 } from '../router/exp64.as';
import { CHUNK_ROWS, chunksFor, parallel, parallelRows } from '../threads/parallel.as';
import { Convolution, advanceInputs, convolve } from './convolution.as';
import { CHANNELS, deltaStep, panelFloats } from './delta_rule.as';
import { addChunk, gateRow, normChunk, rowsOfChunk, silu4 } from './rows.as';
import { keepOf } from './state.as';

@unmanaged
export class DeltaRuleLayer {
  /** Address of a {@link Norm}. */
  norm: usize;
  /** Matrices: [queries | keys | values | z], [rates | decays], and back. */
  input: usize;
  rates: usize;
  output: usize;
  convolution: usize;
  /** float32, of each value head. */
  logDecay: usize;
  timeBias: usize;
  /** Address of a {@link Norm}, of value heads. */
  outNorm: usize;
  hiddenSize: i32;
  numKeyHeads: i32;
  numValueHeads: i32;
  keyHeadDim: i32;
  valueHeadDim: i32;
  /** From a state to this layer's part. */
  stateOffset: usize;
}

/** What the chunks of a call have in common: all of the step's rows. */
@unmanaged
class Pass {
  layer: usize;
  step: usize;
  normed: usize;
  /** Rows [queries | keys | values | z], before the convolution. */
  projected: usize;
  projectedStride: i32;
  /** Rows [queries | keys | values] behind it, and room for what the last panel reads beyond. */
  convolved: usize;
  convolvedStride: i32;
  /** Rows [rates | decays]. */
  rates: usize;
  /** Rows that the last projection takes. */
  found: usize;
  /** Units of the delta rule that make a chunk: a unit is a panel of a value head of one part. */
  units: i32;
}

const passAt: usize = memory.data(offsetof<Pass>(), 16);
/** A value and an output of the panel that isn't full. */
const raggedAt: usize = memory.data(128, 16);

/** Of queries and keys when they become vectors of length 1 (the reference's l2norm). */
const UNIT_EPS: f64 = 1e-6;
/** From here on softplus is its argument, as in the reference. */
const SOFTPLUS_LINEAR: f64 = 20;

/** Returns 0, or the bytes of scratch memory that it needs, and then nothing changed. */
export function deltaRuleLayer(layer: usize, step: usize): usize {
  const l = changetype<DeltaRuleLayer>(layer);
  const s = changetype<Step>(step);
  // 1. Scratch memory.
  const numTokens = s.numTokens;
  const hiddenStride = padded(l.hiddenSize);
  const projectedStride = padded(changetype<Matrix>(l.input).rows);
  const convolvedStride = changetype<Convolution>(l.convolution).stride + CHANNELS;
  const ratesStride = roundUp4(2 * l.numValueHeads);
  const foundStride = changetype<Matrix>(l.output).stride;
  const needed = bytesOf(numTokens, hiddenStride + projectedStride + convolvedStride + ratesStride + foundStride);
  if (needed > <u64>s.scratchBytes) return lacking(needed);
  const pass = changetype<Pass>(here(passAt));
  pass.layer = layer;
  pass.step = step;
  pass.normed = s.scratch;
  pass.projected = pass.normed + floats(numTokens * hiddenStride);
  pass.projectedStride = projectedStride;
  pass.convolved = pass.projected + floats(numTokens * projectedStride);
  pass.convolvedStride = convolvedStride;
  pass.rates = pass.convolved + floats(numTokens * convolvedStride);
  pass.found = pass.rates + floats(numTokens * ratesStride);
  // 2. Projections and the convolution.
  const args = changetype<usize>(pass);
  parallelRows(normRows, numTokens, hiddenStride, args);
  linear(pass.normed, numTokens, l.input, pass.projected, projectedStride);
  linear(pass.normed, numTokens, l.rates, pass.rates, ratesStride);
  parallelRows(prepareRows, numTokens, 16 * convolvedStride, args);
  parallel(advancePart, s.numParts, args);
  // 3. The delta rule.
  const numUnits = s.numParts * panelsOfPart(l);
  const numChunks = chunksFor(<i64>numTokens * <i64>(2 * panelsOfPart(l) * l.keyHeadDim), numUnits);
  pass.units = (numUnits + numChunks - 1) / max(1, numChunks);
  parallel(followUnits, (numUnits + pass.units - 1) / max(1, pass.units), args);
  parallelRows(gateRows, numTokens, 8 * foundStride, args);
  // 4. Back into x.
  linear(pass.found, numTokens, l.output, pass.normed, hiddenStride);
  parallelRows(addBack, numTokens, hiddenStride, args);
  return 0;
}

function normRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<DeltaRuleLayer>(pass.layer);
  normChunk(changetype<Step>(pass.step), l.hiddenSize, l.norm, pass.normed, index);
}

/** The rows of a chunk, in the parts that they are of, as far as each can be computed apart. */
function prepareRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<DeltaRuleLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const c = changetype<Convolution>(l.convolution);
  const first = index * CHUNK_ROWS;
  const end = first + rowsOfChunk(s, index);
  const rowBytes = floats(pass.projectedStride);
  for (let i = 0; i < s.numParts; i++) {
    const part = partOf(s, i);
    const inputs = pass.projected + <usize>part.rowStart * rowBytes;
    for (let row = max(first, part.rowStart); row < min(end, part.rowStart + part.numTokens); row++) {
      const to = pass.convolved + floats(row * pass.convolvedStride);
      convolve(c, inputs, rowBytes, row - part.rowStart, part.state + l.stateOffset, to);
      for (let at = to; at < to + floats(c.stride); at += 16) v128.store(at, silu4(v128.load(at)));
      unitHeads(l, to);
      timesOf(l, pass.rates + floats(row * roundUp4(2 * l.numValueHeads)));
    }
  }
}

/** Queries and keys of a row become vectors of length 1. */
function unitHeads(l: DeltaRuleLayer, row: usize): void {
  const dim = l.keyHeadDim;
  const scale = 1 / sqrt<f64>(<f64>dim);
  for (let head = 0; head < 2 * l.numKeyHeads; head++, row += floats(dim)) {
    let sum: f64 = 0;
    for (let i = 0; i < dim; i++) {
      const value = <f64>load<f32>(row + floats(i));
      sum += value * value;
    }
    const length = (head < l.numKeyHeads ? scale : 1) / sqrt<f64>(sum + UNIT_EPS);
    for (let i = 0; i < dim; i++) store<f32>(row + floats(i), <f32>(<f64>load<f32>(row + floats(i)) * length));
  }
}

/** A row of logits of rates and of times becomes rates and decays: sigmoid(b), and e^(−e^A · softplus(t + bias)). */
function timesOf(l: DeltaRuleLayer, row: usize): void {
  const times = row + floats(l.numValueHeads);
  for (let head = 0; head < l.numValueHeads; head++) {
    const at = floats(head);
    store<f32>(row + at, <f32>(1 / (1 + exp(-(<f64>load<f32>(row + at))))));
    const time = softplus(<f64>load<f32>(times + at) + <f64>load<f32>(l.timeBias + at));
    store<f32>(times + at, <f32>exp(-exp(<f64>load<f32>(l.logDecay + at)) * time));
  }
}

function softplus(x: f64): f64 {
  return x > SOFTPLUS_LINEAR ? x : NativeMath.log1p(exp(x));
}

/** NaN stays NaN. */
function exp(x: f64): f64 {
  return x != x ? x : exp64(x);
}

function advancePart(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<DeltaRuleLayer>(pass.layer);
  const part = partOf(changetype<Step>(pass.step), index);
  const rowBytes = floats(pass.projectedStride);
  const inputs = pass.projected + <usize>part.rowStart * rowBytes;
  advanceInputs(changetype<Convolution>(l.convolution), part, l.stateOffset, inputs, rowBytes);
}

function panelsOfHead(l: DeltaRuleLayer): i32 {
  return (l.valueHeadDim + CHANNELS - 1) / CHANNELS;
}

function panelsOfPart(l: DeltaRuleLayer): i32 {
  return l.numValueHeads * panelsOfHead(l);
}

function followUnits(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<DeltaRuleLayer>(pass.layer);
  const s = changetype<Step>(pass.step);
  const each = panelsOfPart(l);
  const end = min((index + 1) * pass.units, s.numParts * each);
  for (let unit = index * pass.units; unit < end; unit++) followPanel(pass, l, partOf(s, unit / each), unit % each);
}

/** All tokens of a part, in their order, through one panel. */
function followPanel(pass: Pass, l: DeltaRuleLayer, part: Part, number: i32): void {
  const head = number / panelsOfHead(l);
  const channel = (number % panelsOfHead(l)) * CHANNELS;
  const width = min(CHANNELS, l.valueHeadDim - channel);
  const numKeys = l.keyHeadDim;
  const c = changetype<Convolution>(l.convolution);
  const offset = l.stateOffset + floats((c.width - 1) * c.stride + number * panelFloats(numKeys));
  const panel = part.state + offset;
  const foundStride = changetype<Matrix>(l.output).stride;
  const keyHead = head / (l.numValueHeads / l.numKeyHeads);
  let keep = 0;
  for (let t = 0; t < part.numTokens; t++) {
    const row = part.rowStart + t;
    const convolved = pass.convolved + floats(row * pass.convolvedStride);
    const rates = pass.rates + floats(row * roundUp4(2 * l.numValueHeads) + head);
    const query = convolved + floats(keyHead * numKeys);
    const key = query + floats(l.numKeyHeads * numKeys);
    const rate = load<f32>(rates);
    const decay = load<f32>(rates + floats(l.numValueHeads));
    const value = convolved + floats(2 * l.numKeyHeads * numKeys + head * l.valueHeadDim + channel);
    const out = pass.found + floats(row * foundStride + head * l.valueHeadDim + channel);
    if (width == CHANNELS) deltaStep(panel, numKeys, key, value, decay, rate, query, out);
    else raggedStep(panel, numKeys, key, value, decay, rate, query, out, width);
    if (keep == part.numKeeps || keepOf(part, keep).numTokens != t + 1) continue;
    memory.copy(keepOf(part, keep).state + offset, panel, floats(panelFloats(numKeys)));
    keep++;
  }
}

/** Channels beyond the head's are zeros, and nobody's. */
function raggedStep(
  panel: usize,
  numKeys: i32,
  key: usize,
  value: usize,
  decay: f32,
  rate: f32,
  query: usize,
  out: usize,
  width: i32,
): void {
  const room = here(raggedAt);
  memory.fill(room, 0, floats(CHANNELS));
  memory.copy(room, value, floats(width));
  deltaStep(panel, numKeys, key, room, decay, rate, query, room + floats(CHANNELS));
  memory.copy(out, room + floats(CHANNELS), floats(width));
}

/** Norm and gate of each value head, and zeros where rows of what they make are padded. */
function gateRows(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<DeltaRuleLayer>(pass.layer);
  const count = rowsOfChunk(changetype<Step>(pass.step), index);
  const stride = changetype<Matrix>(l.output).stride;
  const dim = l.valueHeadDim;
  const width = l.numValueHeads * dim;
  const channels = changetype<Convolution>(l.convolution).channels;
  for (let row = index * CHUNK_ROWS; row < index * CHUNK_ROWS + count; row++) {
    const found = pass.found + floats(row * stride);
    applyNorm(found, l.numValueHeads, dim, dim, l.outNorm, found, dim);
    gateRow(found, pass.projected + floats(row * pass.projectedStride + channels), width);
    clearPadding(found, 1, width, stride);
  }
}

function addBack(args: usize, index: i32): void {
  const pass = changetype<Pass>(args);
  const l = changetype<DeltaRuleLayer>(pass.layer);
  addChunk(changetype<Step>(pass.step), l.hiddenSize, pass.normed, index);
}
