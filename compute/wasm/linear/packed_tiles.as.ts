/**
 * Tiles for many rows of x and weights of bf16 or int8: the first row's tile packs the four rows of weights, decoded, by the way, while it waits for memory;
 * the tiles of the other rows take them from there. Same order of sums as in tiles.as.ts. Not for f32: with twice the bytes to read, packing is slower.
 * Why: docs/decisions/exactness.md#a-row-depends-on-its-own-values-alone
 */
import { BF16, here } from '../memory/memory.as';
import { add, highBf16, highInt8, lowBf16, lowInt8, storeSums } from './tiles.as';

/** Columns of the widest panel that can be packed. */
export const PACK_COLUMNS: i32 = 16384;
/** The packed panel: for every four columns, the four values of each of its rows. */
const packedAt: usize = memory.data(16 * PACK_COLUMNS, 64);

/** dot1x4 of bf16 or int8, which packs the four rows of weights. width: PACK_COLUMNS at most. */
export function pack1x4(
  dtype: i32,
  x: usize,
  width: i32,
  w: usize,
  apart: usize,
  scales: usize,
  y: usize,
  yApart: usize,
): void {
  const end = x + ((<usize>width) << 2);
  if (dtype == BF16) packBf16(x, end, w, apart, y, yApart);
  else packInt8(x, end, w, apart, scales, y, yApart);
}

function packBf16(x: usize, end: usize, w0: usize, apart: usize, y: usize, yApart: usize): void {
  let to = here(packedAt);
  let w1 = w0 + apart;
  let w2 = w1 + apart;
  let w3 = w2 + apart;
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (; x < end; x += 32, w0 += 16, w1 += 16, w2 += 16, w3 += 16, to += 128) {
    const p = v128.load(x);
    const q = v128.load(x, 16);
    let low: v128;
    let high: v128;
    let w = v128.load(w0);
    low = lowBf16(w);
    high = highBf16(w);
    v128.store(to, low);
    v128.store(to, high, 64);
    a = add(add(a, p, low), q, high);
    w = v128.load(w1);
    low = lowBf16(w);
    high = highBf16(w);
    v128.store(to, low, 16);
    v128.store(to, high, 80);
    b = add(add(b, p, low), q, high);
    w = v128.load(w2);
    low = lowBf16(w);
    high = highBf16(w);
    v128.store(to, low, 32);
    v128.store(to, high, 96);
    c = add(add(c, p, low), q, high);
    w = v128.load(w3);
    low = lowBf16(w);
    high = highBf16(w);
    v128.store(to, low, 48);
    v128.store(to, high, 112);
    d = add(add(d, p, low), q, high);
  }
  storeSums(y, yApart, a, b, c, d);
}

function packInt8(x: usize, end: usize, w0: usize, apart: usize, s0: usize, y: usize, yApart: usize): void {
  let to = here(packedAt);
  // As many scales as eighths of codes: four bytes for 32.
  const sApart = apart >> 3;
  let w1 = w0 + apart;
  let w2 = w1 + apart;
  let w3 = w2 + apart;
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (; x < end; s0 += 4) {
    const s = v128.load32_splat(s0);
    const t = v128.load32_splat(s0 + sApart);
    const u = v128.load32_splat(s0 + 2 * sApart);
    const v = v128.load32_splat(s0 + 3 * sApart);
    for (const groupEnd = x + 128; x < groupEnd; x += 32, w0 += 8, w1 += 8, w2 += 8, w3 += 8, to += 128) {
      const p = v128.load(x);
      const q = v128.load(x, 16);
      let low: v128;
      let high: v128;
      let w = v128.load8x8_s(w0);
      low = lowInt8(w, s);
      high = highInt8(w, s);
      v128.store(to, low, 0);
      v128.store(to, high, 64);
      a = add(add(a, p, low), q, high);
      w = v128.load8x8_s(w1);
      low = lowInt8(w, t);
      high = highInt8(w, t);
      v128.store(to, low, 16);
      v128.store(to, high, 80);
      b = add(add(b, p, low), q, high);
      w = v128.load8x8_s(w2);
      low = lowInt8(w, u);
      high = highInt8(w, u);
      v128.store(to, low, 32);
      v128.store(to, high, 96);
      c = add(add(c, p, low), q, high);
      w = v128.load8x8_s(w3);
      low = lowInt8(w, v);
      high = highInt8(w, v);
      v128.store(to, low, 48);
      v128.store(to, high, 112);
      d = add(add(d, p, low), q, high);
    }
  }
  storeSums(y, yApart, a, b, c, d);
}

/** Pairs of rows of x times the packed panel; rows of y are `yBytes` apart. */
export function packed2x4(x: usize, numPairs: i32, width: i32, y: usize, yApart: usize, yBytes: usize): void {
  const xBytes: usize = (<usize>width) << 2;
  for (; numPairs > 0; numPairs--) {
    let x0 = x;
    const end = x0 + xBytes;
    let x1 = end;
    let from = here(packedAt);
    let a = f32x4.splat(0);
    let b = a;
    let c = a;
    let d = a;
    let e = a;
    let f = a;
    let g = a;
    let h = a;
    for (; x0 < end; x0 += 16, x1 += 16, from += 64) {
      const p = v128.load(x0);
      const q = v128.load(x1);
      let w = v128.load(from);
      a = add(a, p, w);
      e = add(e, q, w);
      w = v128.load(from, 16);
      b = add(b, p, w);
      f = add(f, q, w);
      w = v128.load(from, 32);
      c = add(c, p, w);
      g = add(g, q, w);
      w = v128.load(from, 48);
      d = add(d, p, w);
      h = add(h, q, w);
    }
    storeSums(y, yApart, a, b, c, d);
    storeSums(y + yBytes, yApart, e, f, g, h);
    x = x1;
    y += 2 * yBytes;
  }
}

/** One row of x times the packed panel. */
export function packed1x4(x: usize, width: i32, y: usize, yApart: usize): void {
  let from = here(packedAt);
  let a = f32x4.splat(0);
  let b = a;
  let c = a;
  let d = a;
  for (const end = x + ((<usize>width) << 2); x < end; x += 16, from += 64) {
    const p = v128.load(x);
    a = add(a, p, v128.load(from));
    b = add(b, p, v128.load(from, 16));
    c = add(c, p, v128.load(from, 32));
    d = add(d, p, v128.load(from, 48));
  }
  storeSums(y, yApart, a, b, c, d);
}
