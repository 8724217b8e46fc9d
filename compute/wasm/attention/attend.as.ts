/**
 * Softmax attention over keys and values in blocks. A row's result depends on its own query and on the keys it sees, in the order of their positions: neither
 * on other rows, nor on blocks, nor on what lies in keys that it doesn't see.
 */
import { Lane, ROWS, describeRows, endOf, laneBytes, roundUp4, startOf } from './lane.as';
import { scoreRows } from './scores.as';
import { softmaxRow } from './softmax.as';
import { here } from '../memory/memory.as';
import { lacking } from './step.as';
import { weighRows } from './weighted_values.as';

/** Scratch memory of a lane. */
export function attendBytes(address: usize): usize {
  const lane = changetype<Lane>(address);
  return lacking(laneBytes(lane.position + lane.numTokens, lane.window, lane.valueWidth));
}

export function attend(address: usize): void {
  const lane = changetype<Lane>(address);
  const numRows = lane.numTokens * lane.numHeads;
  for (let row = 0; row < numRows; row += ROWS) attendRows(lane, row, min(ROWS, numRows - row));
}

const denominatorsAt: usize = memory.data(4 * ROWS, 16);

function attendRows(lane: Lane, first: i32, count: i32): void {
  describeRows(lane, first, count);
  // Columns of the scores are keys from a multiple of 4 on: which lane of a vector holds a key depends on its position alone.
  const firstKey = startOf(0) & ~3;
  const endKey = endOf(count - 1);
  const stride = roundUp4(endKey - firstKey);
  scoreRows(lane, count, firstKey, endKey, lane.scratch, stride);
  for (let row = 0; row < count; row++) {
    const scores = lane.scratch + ((<usize>(row * stride - firstKey)) << 2);
    const sink: f32 =
      lane.sinks == 0 ? -Infinity : load<f32>(lane.sinks + ((<usize>((first + row) % lane.numHeads)) << 2));
    store<f32>(here(denominatorsAt) + ((<usize>row) << 2), softmaxRow(scores, startOf(row), endOf(row), sink));
  }
  const sums = lane.scratch + ((<usize>(ROWS * stride)) << 2);
  weighRows(lane, count, endKey, lane.scratch - ((<usize>firstKey) << 2), stride, sums);
  for (let row = 0; row < count; row++) {
    const token = (first + row) / lane.numHeads;
    const head = (first + row) % lane.numHeads;
    const out = lane.out + <usize>token * lane.outTokenBytes + <usize>head * lane.outHeadBytes;
    divideRow(
      sums + ((<usize>(row * lane.valueWidth)) << 2),
      lane.valueDim,
      load<f32>(here(denominatorsAt) + ((<usize>row) << 2)),
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
