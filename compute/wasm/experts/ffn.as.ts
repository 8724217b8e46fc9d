/**
 * Gated networks, down(activation(gate(x), up(x))), over all rows of one or over the rows of several experts. A row's bits don't depend on the others.
 *
 * Rows go in waves of blocks, each some rows of one network: chunks of gate and up of all blocks, then chunks of down. One thread's wave is one block of the most rows:
 * their activations stay in a cache.
 */
import { linearPanels } from '../linear/linear.as';
import { panelWork } from '../linear/divided.as';
import { addVector } from '../linear/rows.as';
import { FfnForm, activateRow } from './activation.as';
import { Matrix, PANEL, PANEL_ROW, here, numPanels } from '../memory/memory.as';
import { bytesOf } from '../attention/step.as';
import { chunksFor, numSlots, ownSlot, parallel } from '../threads/parallel.as';

/** Rows of a block at most (kernel_expert.ts: BLOCK_ROWS). */
const BLOCK_ROWS: i32 = 64;
/** Rows that are gathered in one chunk. */
const GATHER_ROWS: i32 = 32;

/** An expert and how many rows it gets. Callers write it as five words. */
@unmanaged
class Group {
  gate: usize;
  up: usize;
  down: usize;
  /** Of a {@link FfnForm}; 0: SwiGLU without biases. */
  form: usize;
  numRows: i32;
}

/** Rows that go through one network together. */
@unmanaged
class Block {
  gate: usize;
  up: usize;
  down: usize;
  form: usize;
  numRows: i32;
  x: usize;
  /** What becomes the activation of gate(x) and up(x). */
  h: usize;
  y: usize;
  /** Number of the first chunk, and panels of a chunk. */
  chunk: i32;
  panels: i32;
}

/** The wave at hand. */
@unmanaged
class Wave {
  /** {@link Block}s. */
  blocks: usize;
  numBlocks: i32;
  numRows: i32;
  /** Where the next block's activations begin. */
  h: usize;
  /** For each thread, room for a block's activations. */
  upper: usize;
  upperBytes: usize;
  yStride: i32;
  /** Rows of x that are to be gathered: from where, which, how long, to where. */
  x: usize;
  rows: usize;
  xBytes: usize;
  gathered: usize;
}

const waveAt: usize = memory.data(offsetof<Wave>(), 16);

/** Rows of a wave at most (kernel_expert.ts: waveRows): where threads share the work, enough to keep them all busy. */
function waveRows(): i32 {
  const numThreads = numSlots();
  return numThreads == 1 ? BLOCK_ROWS : 2 * BLOCK_ROWS * numThreads;
}

/** Scratch memory of {@link ffn} for so many rows: rows like down's inputs, a block's for each thread and a wave's, and what describes blocks (kernel_expert.ts: ffnScratchBytes). */
export function ffnBytes(down: usize, numRows: i32): u64 {
  const most = min(numRows, waveRows());
  const stride = changetype<Matrix>(down).stride;
  return <u64>most * offsetof<Block>() + bytesOf(numSlots() * min(numRows, BLOCK_ROWS) + most, stride);
}

/** x: rows of gate.stride floats, zeros in the padding. y: rows of `yStride` floats. scratch: {@link ffnBytes}. */
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
  const wave = beginWave(scratch, numRows, changetype<Matrix>(down).stride, yStride);
  for (; numRows > 0; numRows -= BLOCK_ROWS) {
    const block = addBlock(wave, min(numRows, BLOCK_ROWS), gate, up, down, 0);
    block.x = x;
    block.y = y;
    x += <usize>BLOCK_ROWS * xBytes;
    y += <usize>BLOCK_ROWS * ((<usize>yStride) << 2);
  }
  finishWave(wave);
}

/**
 * x: as for ffn, any number of rows. rows: indices into x, those of the first group, then of the second, … y: a row of `yStride` floats for each of them,
 * in that order. scratch: rows like x's, a wave of them at most, then ffn's.
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
  if (numGroups == 0) return;
  const end = groups + <usize>numGroups * offsetof<Group>();
  let widest = 0;
  let numRows = 0;
  for (let at = groups; at < end; at += offsetof<Group>()) {
    widest = max(widest, changetype<Matrix>(changetype<Group>(at).down).stride);
    numRows += changetype<Group>(at).numRows;
  }
  const xBytes: usize = (<usize>changetype<Matrix>(changetype<Group>(groups).gate).stride) << 2;
  const wave = beginWave(scratch + <usize>min(numRows, waveRows()) * xBytes, numRows, widest, yStride);
  wave.x = x;
  wave.rows = rows;
  wave.xBytes = xBytes;
  wave.gathered = scratch;
  for (; groups < end; groups += offsetof<Group>()) {
    const group = changetype<Group>(groups);
    for (let left = group.numRows; left > 0; left -= BLOCK_ROWS) {
      const count = min(left, BLOCK_ROWS);
      const block = addBlock(wave, count, group.gate, group.up, group.down, group.form);
      block.x = scratch + <usize>(wave.numRows - count) * xBytes;
      block.y = y;
      y += <usize>count * ((<usize>yStride) << 2);
    }
  }
  finishWave(wave);
}

/** `numRows`: of all waves; `stride`: of the widest network's activations. */
function beginWave(scratch: usize, numRows: i32, stride: i32, yStride: i32): Wave {
  const wave = changetype<Wave>(here(waveAt));
  const rowBytes: usize = (<usize>stride) << 2;
  wave.upper = scratch;
  wave.upperBytes = <usize>min(numRows, BLOCK_ROWS) * rowBytes;
  wave.blocks = scratch + <usize>numSlots() * wave.upperBytes + <usize>min(numRows, waveRows()) * rowBytes;
  wave.yStride = yStride;
  wave.rows = 0;
  emptyWave(wave);
  return wave;
}

function emptyWave(wave: Wave): void {
  wave.numBlocks = 0;
  wave.numRows = 0;
  wave.h = wave.upper + <usize>numSlots() * wave.upperBytes;
}

/** A block of the wave, or of the next one where that has no room. */
function addBlock(wave: Wave, numRows: i32, gate: usize, up: usize, down: usize, form: usize): Block {
  if (wave.numRows + numRows > waveRows()) finishWave(wave);
  const block = blockAt(wave, wave.numBlocks++);
  block.gate = gate;
  block.up = up;
  block.down = down;
  block.form = form;
  block.numRows = numRows;
  block.h = wave.h;
  wave.numRows += numRows;
  wave.h += <usize>numRows * ((<usize>changetype<Matrix>(down).stride) << 2);
  return block;
}

function blockAt(wave: Wave, index: i32): Block {
  return changetype<Block>(wave.blocks + <usize>index * offsetof<Block>());
}

/** Computes what the wave has, which is empty then. */
function finishWave(wave: Wave): void {
  const args = changetype<usize>(wave);
  if (wave.rows != 0) {
    parallel(gatherRows, (wave.numRows + GATHER_ROWS - 1) / GATHER_ROWS, args);
    wave.rows += (<usize>wave.numRows) << 2;
  }
  parallel(activate, cut(wave, false), args);
  parallel(project, cut(wave, true), args);
  emptyWave(wave);
}

/** Divides the blocks into chunks, by their work, and returns how many there are. */
function cut(wave: Wave, isDown: bool): i32 {
  let total: i64 = 0;
  for (let i = 0; i < wave.numBlocks; i++) total += workOf(blockAt(wave, i), isDown);
  const wanted = chunksFor(total, i32.MAX_VALUE);
  let numChunks = 0;
  for (let i = 0; i < wave.numBlocks; i++) {
    const block = blockAt(wave, i);
    const count = numPanels(changetype<Matrix>(isDown ? block.down : block.gate));
    const share = <i32>((<i64>wanted * workOf(block, isDown)) / total);
    block.chunk = numChunks;
    // Single rows take four panels at once.
    block.panels = max(4, (count / max(1, share) + 3) & ~3);
    numChunks += (count + block.panels - 1) / block.panels;
  }
  return numChunks;
}

function workOf(block: Block, isDown: bool): i64 {
  const w = changetype<Matrix>(isDown ? block.down : block.gate);
  const work = <i64>numPanels(w) * panelWork(w, block.numRows);
  return isDown ? work : 2 * work;
}

/** Of a chunk; its panels are block.panels from the (index − block.chunk)-th time as many on. */
function blockOf(wave: Wave, index: i32): Block {
  let last = wave.numBlocks - 1;
  while (blockAt(wave, last).chunk > index) last--;
  return blockAt(wave, last);
}

function gatherRows(args: usize, index: i32): void {
  const wave = changetype<Wave>(args);
  const end = min(wave.numRows, (index + 1) * GATHER_ROWS);
  for (let i: usize = index * GATHER_ROWS; i < <usize>end; i++) {
    const row = <usize>load<i32>(wave.rows + (i << 2));
    memory.copy(wave.gathered + i * wave.xBytes, wave.x + row * wave.xBytes, wave.xBytes);
  }
}

/** Some panels of gate and up, and their activation. */
function activate(args: usize, index: i32): void {
  const wave = changetype<Wave>(args);
  const block = blockOf(wave, index);
  const gate = changetype<Matrix>(block.gate);
  const stride = changetype<Matrix>(block.down).stride;
  const first = (index - block.chunk) * block.panels;
  const end = min(numPanels(gate), first + block.panels);
  const upper = wave.upper + ownSlot() * wave.upperBytes;
  const start = <usize>first * PANEL_ROW;
  const width = (end - first) * PANEL;
  linearPanels(block.x, block.numRows, gate, first, end, block.h, stride);
  linearPanels(block.x, block.numRows, changetype<Matrix>(block.up), first, end, upper - start, width);
  const used: usize = (<usize>gate.rows) << 2;
  const biases = biasesOf(block);
  if (biases != 0) {
    const own = min(gate.rows, end * PANEL) - first * PANEL;
    addVector(block.h + start, block.numRows, biases + start, own, stride);
    addVector(upper, block.numRows, biases + used + start, own, width);
  }
  const hBytes: usize = (<usize>stride) << 2;
  for (let row: usize = 0; row < <usize>block.numRows; row++) {
    const h = block.h + row * hBytes;
    activateRow(block.form, h + start, upper + row * ((<usize>width) << 2), width);
    if (end == numPanels(gate)) memory.fill(h + used, 0, hBytes - used);
  }
}

/** Some panels of down. */
function project(args: usize, index: i32): void {
  const wave = changetype<Wave>(args);
  const block = blockOf(wave, index);
  const down = changetype<Matrix>(block.down);
  const first = (index - block.chunk) * block.panels;
  const end = min(numPanels(down), first + block.panels);
  linearPanels(block.h, block.numRows, down, first, end, block.y, wave.yStride);
  const biases = biasesOf(block);
  if (biases == 0) return;
  const start = <usize>first * PANEL_ROW;
  const own = min(down.rows, end * PANEL) - first * PANEL;
  const upper: usize = (<usize>changetype<Matrix>(block.gate).rows) << 3;
  addVector(block.y + start, block.numRows, biases + upper + start, own, wave.yStride);
}

function biasesOf(block: Block): usize {
  return block.form == 0 ? 0 : changetype<FfnForm>(block.form).biases;
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
