/** Weighted sums of values: each row's in the order of the keys' positions, over no key that it doesn't see. */
import { KEYS, Lane, addressesOf, endOf, startOf } from './lane.as';
import { weighRow } from './weighted_row.as';

/** Sixteen columns: what two rows' sums leave room for in registers. */
const TILE_BYTES: usize = 64;

/**
 * sums[row] = Σ weights[row][key] · value[key], `lane.valueWidth` floats per row. `weights`: where row 0's weight of key 0 would be; rows every `stride` floats.
 */
export function weighRows(lane: Lane, numRows: i32, endKey: i32, weights: usize, stride: i32, sums: usize): void {
  const sumBytes: usize = (<usize>lane.valueWidth) << 2;
  const weightBytes: usize = (<usize>stride) << 2;
  memory.fill(sums, 0, <usize>numRows * sumBytes);
  if (numRows == 1) return weighRow(lane, endKey, weights, sums);
  for (let key = startOf(0); key < endKey; key += KEYS) {
    const keyEnd = min(key + KEYS, endKey);
    const table = addressesOf(lane, key, keyEnd - key, lane.valueOffset, lane.valueBytes) - ((<usize>key) << 2);
    for (let column: usize = 0; column < sumBytes; column += TILE_BYTES) {
      const isWhole = column + TILE_BYTES <= sumBytes;
      let w = weights;
      let to = sums + column;
      let row = 0;
      if (isWhole) {
        for (; row + 2 <= numRows; row += 2, w += 2 * weightBytes, to += 2 * sumBytes)
          weighPair(row, key, keyEnd, table, column, w, w + weightBytes, to, to + sumBytes);
      }
      for (; row < numRows; row++, w += weightBytes, to += sumBytes) {
        const start = max(key, startOf(row));
        const end = min(keyEnd, endOf(row));
        if (isWhole) weigh1x16(start, end, table, column, w, to);
        else
          for (let at: usize = 0; at < sumBytes - column; at += 16)
            weigh1x4(start, end, table, column + at, w, to + at);
      }
    }
  }
}

/** Two rows of which the second may begin and end at later keys. */
function weighPair(
  row: i32,
  key: i32,
  keyEnd: i32,
  table: usize,
  column: usize,
  weightsA: usize,
  weightsB: usize,
  sumsA: usize,
  sumsB: usize,
): void {
  const startA = max(key, startOf(row));
  const startB = max(key, startOf(row + 1));
  const endA = min(keyEnd, endOf(row));
  const endB = min(keyEnd, endOf(row + 1));
  weigh1x16(startA, min(startB, endA), table, column, weightsA, sumsA);
  weigh2x16(startB, endA, table, column, weightsA, weightsB, sumsA, sumsB);
  weigh1x16(max(startB, endA), endB, table, column, weightsB, sumsB);
}

function weigh2x16(
  start: i32,
  end: i32,
  table: usize,
  column: usize,
  weightsA: usize,
  weightsB: usize,
  sumsA: usize,
  sumsB: usize,
): void {
  if (start >= end) return;
  let a0 = v128.load(sumsA);
  let a1 = v128.load(sumsA, 16);
  let a2 = v128.load(sumsA, 32);
  let a3 = v128.load(sumsA, 48);
  let b0 = v128.load(sumsB);
  let b1 = v128.load(sumsB, 16);
  let b2 = v128.load(sumsB, 32);
  let b3 = v128.load(sumsB, 48);
  const last = (<usize>end) << 2;
  for (let key = (<usize>start) << 2; key < last; key += 4) {
    const value = <usize>load<u32>(table + key) + column;
    const v0 = v128.load(value);
    const v1 = v128.load(value, 16);
    const v2 = v128.load(value, 32);
    const v3 = v128.load(value, 48);
    let weight = v128.load32_splat(weightsA + key);
    a0 = f32x4.add(a0, f32x4.mul(weight, v0));
    a1 = f32x4.add(a1, f32x4.mul(weight, v1));
    a2 = f32x4.add(a2, f32x4.mul(weight, v2));
    a3 = f32x4.add(a3, f32x4.mul(weight, v3));
    weight = v128.load32_splat(weightsB + key);
    b0 = f32x4.add(b0, f32x4.mul(weight, v0));
    b1 = f32x4.add(b1, f32x4.mul(weight, v1));
    b2 = f32x4.add(b2, f32x4.mul(weight, v2));
    b3 = f32x4.add(b3, f32x4.mul(weight, v3));
  }
  v128.store(sumsA, a0);
  v128.store(sumsA, a1, 16);
  v128.store(sumsA, a2, 32);
  v128.store(sumsA, a3, 48);
  v128.store(sumsB, b0);
  v128.store(sumsB, b1, 16);
  v128.store(sumsB, b2, 32);
  v128.store(sumsB, b3, 48);
}

function weigh1x16(start: i32, end: i32, table: usize, column: usize, weights: usize, sums: usize): void {
  if (start >= end) return;
  let s0 = v128.load(sums);
  let s1 = v128.load(sums, 16);
  let s2 = v128.load(sums, 32);
  let s3 = v128.load(sums, 48);
  const last = (<usize>end) << 2;
  for (let key = (<usize>start) << 2; key < last; key += 4) {
    const value = <usize>load<u32>(table + key) + column;
    const weight = v128.load32_splat(weights + key);
    s0 = f32x4.add(s0, f32x4.mul(weight, v128.load(value)));
    s1 = f32x4.add(s1, f32x4.mul(weight, v128.load(value, 16)));
    s2 = f32x4.add(s2, f32x4.mul(weight, v128.load(value, 32)));
    s3 = f32x4.add(s3, f32x4.mul(weight, v128.load(value, 48)));
  }
  v128.store(sums, s0);
  v128.store(sums, s1, 16);
  v128.store(sums, s2, 32);
  v128.store(sums, s3, 48);
}

function weigh1x4(start: i32, end: i32, table: usize, column: usize, weights: usize, sums: usize): void {
  let sum = v128.load(sums);
  const last = (<usize>end) << 2;
  for (let key = (<usize>start) << 2; key < last; key += 4) {
    const value = v128.load(<usize>load<u32>(table + key) + column);
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(weights + key), value));
  }
  v128.store(sums, sum);
}
