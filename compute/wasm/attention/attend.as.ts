/**
 * Softmax attention over keys and values in blocks. A row's result depends on its own query and on the keys it sees, in the order of their positions: neither
 * on other rows, nor on blocks, nor on what lies in keys that it doesn't see. All that changes is in the lane's scratch memory.
 */
import { weighCodes } from './code_values.as';
import {
  IN_ROWS,
  Lane,
  ROWS,
  boundRows,
  denominatorsOf,
  endOf,
  laneBytes,
  scoreStride,
  scoresOf,
  startOf,
  sumsOf,
  tileOf,
} from './lane.as';
import { BF16, INT8 } from '../memory/memory.as';
import { gatherQueries } from './queries.as';
import { scoreRows } from './scores.as';
import { softmaxRow } from './softmax.as';
import { lacking } from './step.as';
import { weighRows, weighStored } from './weighted_values.as';

/** Scratch memory of a lane. */
export function attendBytes(address: usize): usize {
  const lane = changetype<Lane>(address);
  return lacking(laneBytes(lane.position + lane.numTokens, lane.window, lane.width, lane.valueWidth));
}

export function attend(address: usize): void {
  const lane = changetype<Lane>(address);
  for (let i = 0; i < numBlocks(lane); i++) attendBlock(lane, i);
}

/** Blocks of rows that can be computed apart. */
export function numBlocks(lane: Lane): i32 {
  return (lane.numTokens * lane.numHeads + ROWS - 1) / ROWS;
}

/** One of them. */
export function attendBlock(lane: Lane, index: i32): void {
  attendRows(lane, index * ROWS, min(ROWS, lane.numTokens * lane.numHeads - index * ROWS));
}

function attendRows(lane: Lane, first: i32, count: i32): void {
  boundRows(lane, first, count);
  const startKey = startOf(lane, 0);
  const endKey = endOf(lane, count - 1);
  // Room for scores from a multiple of 16 on, and from where the panel of the first key begins, at most 15 keys before it.
  const firstKey = max(0, startKey - 15) & ~15;
  const stride = scoreStride(firstKey, endKey);
  const rowBytes: usize = (<usize>stride) << 2;
  const scores = scoresOf(lane) - ((<usize>firstKey) << 2);
  gatherQueries(lane, first, count);
  scoreRows(lane, count, startKey, endKey, scores, rowBytes);
  for (let row = 0; row < count; row++) {
    const head = (first + row) % lane.numHeads;
    const sink: f32 = lane.sinks == 0 ? -Infinity : load<f32>(lane.sinks + ((<usize>head) << 2));
    const sum = softmaxRow(scores + <usize>row * rowBytes, startOf(lane, row), endOf(lane, row), sink, tileOf(lane));
    store<f32>(denominatorsOf(lane) + ((<usize>row) << 2), sum);
  }
  if (lane.dtype == INT8) weighCodes(lane, count, startKey, endKey, scores, rowBytes);
  else if (lane.dtype == BF16 && lane.form == IN_ROWS) weighStored(lane, count, startKey, endKey, scores, rowBytes);
  else if (lane.dtype == BF16) weighRows<u16>(lane, count, startKey, endKey, scores, rowBytes);
  else weighRows<f32>(lane, count, startKey, endKey, scores, rowBytes);
  for (let row = 0; row < count; row++) {
    const token = (first + row) / lane.numHeads;
    const head = (first + row) % lane.numHeads;
    const out = lane.out + <usize>token * lane.outTokenBytes + <usize>head * lane.outHeadBytes;
    divideRow(
      sumsOf(lane) + ((<usize>(row * lane.valueWidth)) << 2),
      lane.valueDim,
      load<f32>(denominatorsOf(lane) + ((<usize>row) << 2)),
      out,
    );
  }
}

/** out = sums / denominator, `width` floats. */
function divideRow(sums: usize, width: i32, denominator: f32, out: usize): void {
  const divisor = f32x4.splat(denominator);
  const end = sums + ((<usize>width) << 2);
  for (; sums + 16 <= end; sums += 16, out += 16) v128.store(out, f32x4.div(v128.load(sums), divisor));
  for (; sums < end; sums += 4, out += 4) store<f32>(out, load<f32>(sums) / denominator);
}
