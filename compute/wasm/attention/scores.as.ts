/** Scores of query rows against keys: dot products in one summation order, whichever rows and keys are computed together. */
import { KEYS, Lane, addressesOf, queryOf, roundUp4 } from './lane.as';

/**
 * scores[row][key − firstKey] for keys firstKey … endKey − 1; rows begin every `stride` floats, a multiple of 4. What is behind endKey may be anything.
 * The four keys that are read together are a quarter of KEYS apart: so few streams, each from key to key, are what processors read ahead of.
 */
export function scoreRows(lane: Lane, numRows: i32, firstKey: i32, endKey: i32, scores: usize, stride: i32): void {
  const rowBytes: usize = (<usize>stride) << 2;
  const queryBytes: usize = (<usize>lane.width) << 2;
  for (let key = firstKey; key < endKey; key += KEYS) {
    const count = min(KEYS, endKey - key);
    const table = addressesOf(lane, key, count, lane.keyOffset, lane.keyBytes);
    const apart: usize = <usize>roundUp4(count);
    for (let at: usize = 0; at < apart; at += 4) {
      let to = scores + at;
      let row = 0;
      for (; row + 2 <= numRows; row += 2, to += 2 * rowBytes)
        score2x4(queryOf(row), queryOf(row + 1), table + at, apart, queryBytes, lane.softmaxScale, to, to + rowBytes);
      if (row < numRows) score1x4(queryOf(row), table + at, apart, queryBytes, lane.softmaxScale, to);
    }
    scores += apart << 2;
  }
}

/** Two queries against the four keys of a table. */
function score2x4(
  a: usize,
  b: usize,
  table: usize,
  apart: usize,
  bytes: usize,
  scale: f32,
  toA: usize,
  toB: usize,
): void {
  let k0 = <usize>load<u32>(table);
  let k1 = <usize>load<u32>(table + apart);
  let k2 = <usize>load<u32>(table + 2 * apart);
  let k3 = <usize>load<u32>(table + 3 * apart);
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (const end = a + bytes; a < end; a += 16, b += 16) {
    const qa = v128.load(a);
    const qb = v128.load(b);
    let key = v128.load(k0);
    a0 = f32x4.add(a0, f32x4.mul(qa, key));
    b0 = f32x4.add(b0, f32x4.mul(qb, key));
    key = v128.load(k1);
    a1 = f32x4.add(a1, f32x4.mul(qa, key));
    b1 = f32x4.add(b1, f32x4.mul(qb, key));
    key = v128.load(k2);
    a2 = f32x4.add(a2, f32x4.mul(qa, key));
    b2 = f32x4.add(b2, f32x4.mul(qb, key));
    key = v128.load(k3);
    a3 = f32x4.add(a3, f32x4.mul(qa, key));
    b3 = f32x4.add(b3, f32x4.mul(qb, key));
    k0 += 16;
    k1 += 16;
    k2 += 16;
    k3 += 16;
  }
  spread(f32x4.mul(sums(a0, a1, a2, a3), f32x4.splat(scale)), toA, apart);
  spread(f32x4.mul(sums(b0, b1, b2, b3), f32x4.splat(scale)), toB, apart);
}

function score1x4(a: usize, table: usize, apart: usize, bytes: usize, scale: f32, to: usize): void {
  let k0 = <usize>load<u32>(table);
  let k1 = <usize>load<u32>(table + apart);
  let k2 = <usize>load<u32>(table + 2 * apart);
  let k3 = <usize>load<u32>(table + 3 * apart);
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (const end = a + bytes; a < end; a += 16) {
    const qa = v128.load(a);
    a0 = f32x4.add(a0, f32x4.mul(qa, v128.load(k0)));
    a1 = f32x4.add(a1, f32x4.mul(qa, v128.load(k1)));
    a2 = f32x4.add(a2, f32x4.mul(qa, v128.load(k2)));
    a3 = f32x4.add(a3, f32x4.mul(qa, v128.load(k3)));
    k0 += 16;
    k1 += 16;
    k2 += 16;
    k3 += 16;
  }
  spread(f32x4.mul(sums(a0, a1, a2, a3), f32x4.splat(scale)), to, apart);
}

/** The four lanes of each vector summed up, as (0 + 1) + (2 + 3). */
function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 2, 6), v128.shuffle<i32>(a, b, 1, 5, 3, 7));
  const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 4, 2, 6), v128.shuffle<i32>(c, d, 1, 5, 3, 7));
  return f32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** Four floats, every `apart` bytes. */
function spread(values: v128, to: usize, apart: usize): void {
  v128.store_lane<f32>(to, values, 0);
  v128.store_lane<f32>(to + apart, values, 1);
  v128.store_lane<f32>(to + 2 * apart, values, 2);
  v128.store_lane<f32>(to + 3 * apart, values, 3);
}
