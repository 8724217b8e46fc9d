/** Weighted sums of values: each row's in the order of the keys' positions, over no key that it doesn't see. T: elements of values, f32, or u16 for bf16. */
import { madd } from '../linear/math.as';
import { tileRows } from '../linear/tile_rows.as';
import { IN_PANELS, Lane, VALUES, endOf, loadedOf, startOf, sumsOf, tableOf } from './lane.as';
import { PANEL, four, fourthFour, panelWidth, secondFour, thirdFour } from './panels.as';
import { floats } from './step.as';
import { loadValues } from './stored_keys.as';

/** sums[row] = Σ weights[row][key] · value[key], `lane.valueWidth` floats per row. `weights`: where row 0's weight of key 0 would be; rows every `rowBytes`. */
export function weighRows<T>(
  lane: Lane,
  numRows: i32,
  startKey: i32,
  endKey: i32,
  weights: usize,
  rowBytes: usize,
): void {
  const width = lane.valueWidth;
  const sumBytes = (<usize>width) << 2;
  const sums = sumsOf(lane);
  memory.fill(sums, 0, <usize>numRows * sumBytes);
  const panelBytes = <usize>(lane.form == IN_PANELS ? PANEL * lane.blockSize : PANEL) * sizeof<T>();
  const wholePanels = width & ~(PANEL - 1);
  for (let key = startKey; key < endKey; key += VALUES) {
    const end = min(key + VALUES, endKey);
    const w = weights + ((<usize>key) << 2);
    let offset: usize = 0;
    addressValues<T>(lane, key, end, PANEL);
    for (let first = 0; first < wholePanels; first += PANEL, offset += panelBytes)
      weighPanel<T>(lane, numRows, key, end, w, rowBytes, offset, sums + ((<usize>first) << 2), sumBytes);
    if (wholePanels == width) continue;
    addressValues<T>(lane, key, end, width - wholePanels);
    weighNarrow<T>(
      lane,
      numRows,
      key,
      end,
      w,
      rowBytes,
      offset,
      sums + ((<usize>wholePanels) << 2),
      sumBytes,
      width - wholePanels,
    );
  }
}

/** The same for stored rows, which are floats for as long as all rows of queries take them. */
export function weighStored(
  lane: Lane,
  numRows: i32,
  startKey: i32,
  endKey: i32,
  weights: usize,
  rowBytes: usize,
): void {
  const width = lane.valueWidth;
  const sumBytes = (<usize>width) << 2;
  memory.fill(sumsOf(lane), 0, <usize>numRows * sumBytes);
  const loaded = loadedOf(lane);
  for (let i = 0; i < VALUES; i++) store<u32>(tableOf(lane) + floats(i), <u32>(loaded + floats(PANEL * i)));
  for (let key = startKey; key < endKey; key += VALUES) {
    const end = min(key + VALUES, endKey);
    const w = weights + ((<usize>key) << 2);
    for (let first = 0; first < width; first += PANEL) {
      loadValues(lane, key, end, first, loaded);
      const sums = sumsOf(lane) + ((<usize>first) << 2);
      const numChannels = panelWidth(width, first);
      if (numChannels == PANEL) weighPanel<f32>(lane, numRows, key, end, w, rowBytes, 0, sums, sumBytes);
      else weighNarrow<f32>(lane, numRows, key, end, w, rowBytes, 0, sums, sumBytes, numChannels);
    }
  }
}

/** The table of the addresses of the values of keys first … end − 1: where they would begin if all panels were before one of `numChannels`. */
function addressValues<T>(lane: Lane, first: i32, end: i32, numChannels: i32): void {
  const step = lane.form == IN_PANELS ? <usize>numChannels * sizeof<T>() : lane.valueBytes;
  let block = lane.blocks + ((<usize>(first / lane.blockSize)) << 2);
  let inBlock = first % lane.blockSize;
  let to = tableOf(lane);
  for (const tableEnd = to + ((<usize>(end - first)) << 2); to < tableEnd; block += 4) {
    let address = <usize>load<u32>(block) + lane.valueOffset + <usize>inBlock * step;
    const blockEnd = min(tableEnd, to + ((<usize>(lane.blockSize - inBlock)) << 2));
    for (; to < blockEnd; to += 4, address += step) store<u32>(to, <u32>address);
    inBlock = 0;
  }
}

/** Sixteen channels of the keys of the table, key … keyEnd − 1. `weights`: row 0's of the first of them. */
function weighPanel<T>(
  lane: Lane,
  numRows: i32,
  key: i32,
  keyEnd: i32,
  weights: usize,
  rowBytes: usize,
  offset: usize,
  sums: usize,
  sumBytes: usize,
): void {
  const table = tableOf(lane);
  let row = 0;
  while (row < numRows) {
    const left = numRows - row;
    const count = left >= 4 && tileRows >= 4 ? 4 : left >= 2 ? 2 : 1;
    // What all rows of the tile see, in one; what some see alone, before it and behind it.
    const start = max(key, startOf(lane, row + count - 1));
    const end = max(start, min(keyEnd, endOf(lane, row)));
    if (start > key) weighEdges<T>(lane, row, count, key, key, start, weights, rowBytes, offset, sums, sumBytes);
    const at = (<usize>(start - key)) << 2;
    const tableEnd = table + ((<usize>(end - key)) << 2);
    if (count == 4) weigh4x16<T>(weights + at, rowBytes, table + at, tableEnd, offset, sums, sumBytes);
    else if (count == 2) weigh2x16<T>(weights + at, rowBytes, table + at, tableEnd, offset, sums, sumBytes);
    else weigh1x16<T>(weights + at, table + at, tableEnd, offset, sums);
    if (end < keyEnd) weighEdges<T>(lane, row, count, key, end, keyEnd, weights, rowBytes, offset, sums, sumBytes);
    row += count;
    weights += <usize>count * rowBytes;
    sums += <usize>count * sumBytes;
  }
}

/** Each row of a tile alone, over what it sees of keys from … to − 1. */
function weighEdges<T>(
  lane: Lane,
  row: i32,
  count: i32,
  key: i32,
  from: i32,
  to: i32,
  weights: usize,
  rowBytes: usize,
  offset: usize,
  sums: usize,
  sumBytes: usize,
): void {
  const table = tableOf(lane);
  for (const last = row + count; row < last; row++, weights += rowBytes, sums += sumBytes) {
    const start = max(from, startOf(lane, row)) - key;
    const end = min(to, endOf(lane, row)) - key;
    const at = (<usize>start) << 2;
    if (start < end) weigh1x16<T>(weights + at, table + at, table + ((<usize>end) << 2), offset, sums);
  }
}

/** The last channels of the keys of the table, fewer than sixteen. */
function weighNarrow<T>(
  lane: Lane,
  numRows: i32,
  key: i32,
  keyEnd: i32,
  weights: usize,
  rowBytes: usize,
  offset: usize,
  sums: usize,
  sumBytes: usize,
  numChannels: i32,
): void {
  const table = tableOf(lane);
  for (let row = 0; row < numRows; row++, weights += rowBytes, sums += sumBytes) {
    const start = max(key, startOf(lane, row)) - key;
    const end = min(keyEnd, endOf(lane, row)) - key;
    if (start >= end) continue;
    const at = (<usize>start) << 2;
    for (let channel: usize = 0; channel < (<usize>numChannels) << 2; channel += 16)
      weigh1x4<T>(
        weights + at,
        table + at,
        table + ((<usize>end) << 2),
        offset + ((channel * sizeof<T>()) >> 2),
        sums + channel,
      );
  }
}

function weigh4x16<T>(
  weights: usize,
  rowBytes: usize,
  table: usize,
  end: usize,
  offset: usize,
  sums: usize,
  sumBytes: usize,
): void {
  const sums1 = sums + sumBytes;
  const sums2 = sums + 2 * sumBytes;
  const sums3 = sums + 3 * sumBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  let b0 = v128.load(sums1);
  let b1 = v128.load(sums1, 16);
  let b2 = v128.load(sums1, 32);
  let b3 = v128.load(sums1, 48);
  let c0 = v128.load(sums2);
  let c1 = v128.load(sums2, 16);
  let c2 = v128.load(sums2, 32);
  let c3 = v128.load(sums2, 48);
  let d0 = v128.load(sums3);
  let d1 = v128.load(sums3, 16);
  let d2 = v128.load(sums3, 32);
  let d3 = v128.load(sums3, 48);
  let w1 = weights + rowBytes;
  let w2 = weights + 2 * rowBytes;
  let w3 = weights + 3 * rowBytes;
  for (; table < end; table += 4, weights += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = four<T>(value);
    const v1 = secondFour<T>(value);
    const v2 = thirdFour<T>(value);
    const v3 = fourthFour<T>(value);
    let weight = v128.load32_splat(weights);
    a0 = madd(weight, v0, a0);
    a1 = madd(weight, v1, a1);
    a2 = madd(weight, v2, a2);
    a3 = madd(weight, v3, a3);
    weight = v128.load32_splat(w1);
    b0 = madd(weight, v0, b0);
    b1 = madd(weight, v1, b1);
    b2 = madd(weight, v2, b2);
    b3 = madd(weight, v3, b3);
    weight = v128.load32_splat(w2);
    c0 = madd(weight, v0, c0);
    c1 = madd(weight, v1, c1);
    c2 = madd(weight, v2, c2);
    c3 = madd(weight, v3, c3);
    weight = v128.load32_splat(w3);
    d0 = madd(weight, v0, d0);
    d1 = madd(weight, v1, d1);
    d2 = madd(weight, v2, d2);
    d3 = madd(weight, v3, d3);
    w1 += 4;
    w2 += 4;
    w3 += 4;
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, a2, 32);
  v128.store(sums, a3, 48);
  v128.store(sums1, b0);
  v128.store(sums1, b1, 16);
  v128.store(sums1, b2, 32);
  v128.store(sums1, b3, 48);
  v128.store(sums2, c0);
  v128.store(sums2, c1, 16);
  v128.store(sums2, c2, 32);
  v128.store(sums2, c3, 48);
  v128.store(sums3, d0);
  v128.store(sums3, d1, 16);
  v128.store(sums3, d2, 32);
  v128.store(sums3, d3, 48);
}

function weigh2x16<T>(
  weights: usize,
  rowBytes: usize,
  table: usize,
  end: usize,
  offset: usize,
  sums: usize,
  sumBytes: usize,
): void {
  const sums1 = sums + sumBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  let b0 = v128.load(sums1);
  let b1 = v128.load(sums1, 16);
  let b2 = v128.load(sums1, 32);
  let b3 = v128.load(sums1, 48);
  let w1 = weights + rowBytes;
  for (; table < end; table += 4, weights += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = four<T>(value);
    const v1 = secondFour<T>(value);
    const v2 = thirdFour<T>(value);
    const v3 = fourthFour<T>(value);
    let weight = v128.load32_splat(weights);
    a0 = madd(weight, v0, a0);
    a1 = madd(weight, v1, a1);
    a2 = madd(weight, v2, a2);
    a3 = madd(weight, v3, a3);
    weight = v128.load32_splat(w1);
    b0 = madd(weight, v0, b0);
    b1 = madd(weight, v1, b1);
    b2 = madd(weight, v2, b2);
    b3 = madd(weight, v3, b3);
    w1 += 4;
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, a2, 32);
  v128.store(sums, a3, 48);
  v128.store(sums1, b0);
  v128.store(sums1, b1, 16);
  v128.store(sums1, b2, 32);
  v128.store(sums1, b3, 48);
}

function weigh1x16<T>(weights: usize, table: usize, end: usize, offset: usize, sums: usize): void {
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  for (; table < end; table += 4, weights += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = four<T>(value);
    const v1 = secondFour<T>(value);
    const v2 = thirdFour<T>(value);
    const v3 = fourthFour<T>(value);
    const weight = v128.load32_splat(weights);
    a0 = madd(weight, v0, a0);
    a1 = madd(weight, v1, a1);
    a2 = madd(weight, v2, a2);
    a3 = madd(weight, v3, a3);
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, a2, 32);
  v128.store(sums, a3, 48);
}

function weigh1x4<T>(weights: usize, table: usize, end: usize, offset: usize, sums: usize): void {
  let a0 = v128.load(sums);
  for (; table < end; table += 4, weights += 4) {
    const value = <usize>load<u32>(table) + offset;
    const v0 = four<T>(value);
    const weight = v128.load32_splat(weights);
    a0 = madd(weight, v0, a0);
  }
  v128.store(sums, a0);
}
