/**
 * Products of one or two rows of x with several panels of weights of any type, and of one to six rows with a panel of floats. Every output has one accumulator, summed
 * over ascending inputs, whatever the tile and the type: neighbouring outputs are the lanes of vectors, and nothing is summed across lanes.
 *
 * V8 joins operations on vectors that are loaded and stored side by side into 256 bits where it may. It puts all loads of a loop's body before the arithmetic, so a
 * body that is to be fast from a cache has no more operands and accumulators than registers (15), and every tile is written out. Where weights come from memory,
 * streams count: reading four panels at once is a third faster than one.
 * T: the type of weights, f32, u16 (bf16) or i8.
 * Why: docs/decisions/kernels.md#panels-of-sixteen-outputs, docs/decisions/kernels.md#tiles-fit-v8
 */
import { ROW_ALIGN } from '../memory/memory.as';
import { madd } from './math.as';

/** Bytes of the inputs of x that a word of weights goes with. */
function step<T>(): usize {
  return 16 / sizeof<T>();
}

/** Where the inputs end that go with scales at hand: int8 has them per group, others none. */
function groupEnd<T>(x: usize, end: usize): usize {
  return sizeof<T>() == 1 ? x + 4 * ROW_ALIGN : end;
}

function scalesAt<T>(w: usize): v128 {
  return sizeof<T>() == 1 ? v128.load(w) : f32x4.splat(0);
}

function scaleBytes<T>(): usize {
  return sizeof<T>() == 1 ? 64 : 0;
}

/** Value `index` of each of four words, as floats. */
export function valueOf<T>(words: v128, index: i32, scales: v128): v128 {
  if (sizeof<T>() == 4) return words;
  if (sizeof<T>() == 2) return index == 0 ? i32x4.shl(words, 16) : v128.and(words, i32x4.splat(0xffff0000));
  const code = index == 3 ? words : i32x4.shl(words, 24 - 8 * index);
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_s(code, 24)), scales);
}

/** A row of x times four panels, `apart` bytes from each other: 64 outputs at `y`. */
export function tile1x64<T>(x: usize, numBytes: usize, w: usize, apart: usize, y: usize): void {
  const end = x + numBytes;
  let w1 = w + apart;
  let w2 = w1 + apart;
  let w3 = w2 + apart;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  let a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let b2 = f32x4.splat(0);
  let b3 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  let d2 = f32x4.splat(0);
  let d3 = f32x4.splat(0);
  while (x < end) {
    const s0 = scalesAt<T>(w);
    const s1 = scalesAt<T>(w + 16);
    const s2 = scalesAt<T>(w + 32);
    const s3 = scalesAt<T>(w + 48);
    const t0 = scalesAt<T>(w1);
    const t1 = scalesAt<T>(w1 + 16);
    const t2 = scalesAt<T>(w1 + 32);
    const t3 = scalesAt<T>(w1 + 48);
    const u0 = scalesAt<T>(w2);
    const u1 = scalesAt<T>(w2 + 16);
    const u2 = scalesAt<T>(w2 + 32);
    const u3 = scalesAt<T>(w2 + 48);
    const v0 = scalesAt<T>(w3);
    const v1 = scalesAt<T>(w3 + 16);
    const v2 = scalesAt<T>(w3 + 32);
    const v3 = scalesAt<T>(w3 + 48);
    w += scaleBytes<T>();
    w1 += scaleBytes<T>();
    w2 += scaleBytes<T>();
    w3 += scaleBytes<T>();
    for (const last = groupEnd<T>(x, end); x < last; x += step<T>()) {
      const k0 = v128.load(w);
      const k1 = v128.load(w, 16);
      const k2 = v128.load(w, 32);
      const k3 = v128.load(w, 48);
      const l0 = v128.load(w1);
      const l1 = v128.load(w1, 16);
      const l2 = v128.load(w1, 32);
      const l3 = v128.load(w1, 48);
      const m0 = v128.load(w2);
      const m1 = v128.load(w2, 16);
      const m2 = v128.load(w2, 32);
      const m3 = v128.load(w2, 48);
      const n0 = v128.load(w3);
      const n1 = v128.load(w3, 16);
      const n2 = v128.load(w3, 32);
      const n3 = v128.load(w3, 48);
      let p = v128.load32_splat(x);
      a0 = madd(p, valueOf<T>(k0, 0, s0), a0);
      a1 = madd(p, valueOf<T>(k1, 0, s1), a1);
      a2 = madd(p, valueOf<T>(k2, 0, s2), a2);
      a3 = madd(p, valueOf<T>(k3, 0, s3), a3);
      b0 = madd(p, valueOf<T>(l0, 0, t0), b0);
      b1 = madd(p, valueOf<T>(l1, 0, t1), b1);
      b2 = madd(p, valueOf<T>(l2, 0, t2), b2);
      b3 = madd(p, valueOf<T>(l3, 0, t3), b3);
      c0 = madd(p, valueOf<T>(m0, 0, u0), c0);
      c1 = madd(p, valueOf<T>(m1, 0, u1), c1);
      c2 = madd(p, valueOf<T>(m2, 0, u2), c2);
      c3 = madd(p, valueOf<T>(m3, 0, u3), c3);
      d0 = madd(p, valueOf<T>(n0, 0, v0), d0);
      d1 = madd(p, valueOf<T>(n1, 0, v1), d1);
      d2 = madd(p, valueOf<T>(n2, 0, v2), d2);
      d3 = madd(p, valueOf<T>(n3, 0, v3), d3);
      if (sizeof<T>() < 4) {
        p = v128.load32_splat(x, 4);
        a0 = madd(p, valueOf<T>(k0, 1, s0), a0);
        a1 = madd(p, valueOf<T>(k1, 1, s1), a1);
        a2 = madd(p, valueOf<T>(k2, 1, s2), a2);
        a3 = madd(p, valueOf<T>(k3, 1, s3), a3);
        b0 = madd(p, valueOf<T>(l0, 1, t0), b0);
        b1 = madd(p, valueOf<T>(l1, 1, t1), b1);
        b2 = madd(p, valueOf<T>(l2, 1, t2), b2);
        b3 = madd(p, valueOf<T>(l3, 1, t3), b3);
        c0 = madd(p, valueOf<T>(m0, 1, u0), c0);
        c1 = madd(p, valueOf<T>(m1, 1, u1), c1);
        c2 = madd(p, valueOf<T>(m2, 1, u2), c2);
        c3 = madd(p, valueOf<T>(m3, 1, u3), c3);
        d0 = madd(p, valueOf<T>(n0, 1, v0), d0);
        d1 = madd(p, valueOf<T>(n1, 1, v1), d1);
        d2 = madd(p, valueOf<T>(n2, 1, v2), d2);
        d3 = madd(p, valueOf<T>(n3, 1, v3), d3);
      }
      if (sizeof<T>() == 1) {
        p = v128.load32_splat(x, 8);
        a0 = madd(p, valueOf<T>(k0, 2, s0), a0);
        a1 = madd(p, valueOf<T>(k1, 2, s1), a1);
        a2 = madd(p, valueOf<T>(k2, 2, s2), a2);
        a3 = madd(p, valueOf<T>(k3, 2, s3), a3);
        b0 = madd(p, valueOf<T>(l0, 2, t0), b0);
        b1 = madd(p, valueOf<T>(l1, 2, t1), b1);
        b2 = madd(p, valueOf<T>(l2, 2, t2), b2);
        b3 = madd(p, valueOf<T>(l3, 2, t3), b3);
        c0 = madd(p, valueOf<T>(m0, 2, u0), c0);
        c1 = madd(p, valueOf<T>(m1, 2, u1), c1);
        c2 = madd(p, valueOf<T>(m2, 2, u2), c2);
        c3 = madd(p, valueOf<T>(m3, 2, u3), c3);
        d0 = madd(p, valueOf<T>(n0, 2, v0), d0);
        d1 = madd(p, valueOf<T>(n1, 2, v1), d1);
        d2 = madd(p, valueOf<T>(n2, 2, v2), d2);
        d3 = madd(p, valueOf<T>(n3, 2, v3), d3);
        p = v128.load32_splat(x, 12);
        a0 = madd(p, valueOf<T>(k0, 3, s0), a0);
        a1 = madd(p, valueOf<T>(k1, 3, s1), a1);
        a2 = madd(p, valueOf<T>(k2, 3, s2), a2);
        a3 = madd(p, valueOf<T>(k3, 3, s3), a3);
        b0 = madd(p, valueOf<T>(l0, 3, t0), b0);
        b1 = madd(p, valueOf<T>(l1, 3, t1), b1);
        b2 = madd(p, valueOf<T>(l2, 3, t2), b2);
        b3 = madd(p, valueOf<T>(l3, 3, t3), b3);
        c0 = madd(p, valueOf<T>(m0, 3, u0), c0);
        c1 = madd(p, valueOf<T>(m1, 3, u1), c1);
        c2 = madd(p, valueOf<T>(m2, 3, u2), c2);
        c3 = madd(p, valueOf<T>(m3, 3, u3), c3);
        d0 = madd(p, valueOf<T>(n0, 3, v0), d0);
        d1 = madd(p, valueOf<T>(n1, 3, v1), d1);
        d2 = madd(p, valueOf<T>(n2, 3, v2), d2);
        d3 = madd(p, valueOf<T>(n3, 3, v3), d3);
      }
      w += 64;
      w1 += 64;
      w2 += 64;
      w3 += 64;
    }
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  v128.store(y, b0, 64);
  v128.store(y, b1, 80);
  v128.store(y, b2, 96);
  v128.store(y, b3, 112);
  v128.store(y, c0, 128);
  v128.store(y, c1, 144);
  v128.store(y, c2, 160);
  v128.store(y, c3, 176);
  v128.store(y, d0, 192);
  v128.store(y, d1, 208);
  v128.store(y, d2, 224);
  v128.store(y, d3, 240);
}

/** Two rows of x, xBytes apart, times two panels: 32 outputs each at `y`, yBytes apart. */
export function tile2x32<T>(
  x: usize,
  xBytes: usize,
  numBytes: usize,
  w: usize,
  apart: usize,
  y: usize,
  yBytes: usize,
): void {
  const end = x + numBytes;
  let x1 = x + xBytes;
  let w1 = w + apart;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let a2 = f32x4.splat(0);
  let a3 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let b2 = f32x4.splat(0);
  let b3 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let c2 = f32x4.splat(0);
  let c3 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  let d2 = f32x4.splat(0);
  let d3 = f32x4.splat(0);
  while (x < end) {
    const s0 = scalesAt<T>(w);
    const s1 = scalesAt<T>(w + 16);
    const s2 = scalesAt<T>(w + 32);
    const s3 = scalesAt<T>(w + 48);
    const t0 = scalesAt<T>(w1);
    const t1 = scalesAt<T>(w1 + 16);
    const t2 = scalesAt<T>(w1 + 32);
    const t3 = scalesAt<T>(w1 + 48);
    w += scaleBytes<T>();
    w1 += scaleBytes<T>();
    for (const last = groupEnd<T>(x, end); x < last; x += step<T>()) {
      const k0 = v128.load(w);
      const k1 = v128.load(w, 16);
      const k2 = v128.load(w, 32);
      const k3 = v128.load(w, 48);
      const l0 = v128.load(w1);
      const l1 = v128.load(w1, 16);
      const l2 = v128.load(w1, 32);
      const l3 = v128.load(w1, 48);
      let p = v128.load32_splat(x);
      let q = v128.load32_splat(x1);
      let z = valueOf<T>(k0, 0, s0);
      a0 = madd(p, z, a0);
      c0 = madd(q, z, c0);
      z = valueOf<T>(k1, 0, s1);
      a1 = madd(p, z, a1);
      c1 = madd(q, z, c1);
      z = valueOf<T>(k2, 0, s2);
      a2 = madd(p, z, a2);
      c2 = madd(q, z, c2);
      z = valueOf<T>(k3, 0, s3);
      a3 = madd(p, z, a3);
      c3 = madd(q, z, c3);
      z = valueOf<T>(l0, 0, t0);
      b0 = madd(p, z, b0);
      d0 = madd(q, z, d0);
      z = valueOf<T>(l1, 0, t1);
      b1 = madd(p, z, b1);
      d1 = madd(q, z, d1);
      z = valueOf<T>(l2, 0, t2);
      b2 = madd(p, z, b2);
      d2 = madd(q, z, d2);
      z = valueOf<T>(l3, 0, t3);
      b3 = madd(p, z, b3);
      d3 = madd(q, z, d3);
      if (sizeof<T>() < 4) {
        p = v128.load32_splat(x, 4);
        q = v128.load32_splat(x1, 4);
        z = valueOf<T>(k0, 1, s0);
        a0 = madd(p, z, a0);
        c0 = madd(q, z, c0);
        z = valueOf<T>(k1, 1, s1);
        a1 = madd(p, z, a1);
        c1 = madd(q, z, c1);
        z = valueOf<T>(k2, 1, s2);
        a2 = madd(p, z, a2);
        c2 = madd(q, z, c2);
        z = valueOf<T>(k3, 1, s3);
        a3 = madd(p, z, a3);
        c3 = madd(q, z, c3);
        z = valueOf<T>(l0, 1, t0);
        b0 = madd(p, z, b0);
        d0 = madd(q, z, d0);
        z = valueOf<T>(l1, 1, t1);
        b1 = madd(p, z, b1);
        d1 = madd(q, z, d1);
        z = valueOf<T>(l2, 1, t2);
        b2 = madd(p, z, b2);
        d2 = madd(q, z, d2);
        z = valueOf<T>(l3, 1, t3);
        b3 = madd(p, z, b3);
        d3 = madd(q, z, d3);
      }
      if (sizeof<T>() == 1) {
        p = v128.load32_splat(x, 8);
        q = v128.load32_splat(x1, 8);
        z = valueOf<T>(k0, 2, s0);
        a0 = madd(p, z, a0);
        c0 = madd(q, z, c0);
        z = valueOf<T>(k1, 2, s1);
        a1 = madd(p, z, a1);
        c1 = madd(q, z, c1);
        z = valueOf<T>(k2, 2, s2);
        a2 = madd(p, z, a2);
        c2 = madd(q, z, c2);
        z = valueOf<T>(k3, 2, s3);
        a3 = madd(p, z, a3);
        c3 = madd(q, z, c3);
        z = valueOf<T>(l0, 2, t0);
        b0 = madd(p, z, b0);
        d0 = madd(q, z, d0);
        z = valueOf<T>(l1, 2, t1);
        b1 = madd(p, z, b1);
        d1 = madd(q, z, d1);
        z = valueOf<T>(l2, 2, t2);
        b2 = madd(p, z, b2);
        d2 = madd(q, z, d2);
        z = valueOf<T>(l3, 2, t3);
        b3 = madd(p, z, b3);
        d3 = madd(q, z, d3);
        p = v128.load32_splat(x, 12);
        q = v128.load32_splat(x1, 12);
        z = valueOf<T>(k0, 3, s0);
        a0 = madd(p, z, a0);
        c0 = madd(q, z, c0);
        z = valueOf<T>(k1, 3, s1);
        a1 = madd(p, z, a1);
        c1 = madd(q, z, c1);
        z = valueOf<T>(k2, 3, s2);
        a2 = madd(p, z, a2);
        c2 = madd(q, z, c2);
        z = valueOf<T>(k3, 3, s3);
        a3 = madd(p, z, a3);
        c3 = madd(q, z, c3);
        z = valueOf<T>(l0, 3, t0);
        b0 = madd(p, z, b0);
        d0 = madd(q, z, d0);
        z = valueOf<T>(l1, 3, t1);
        b1 = madd(p, z, b1);
        d1 = madd(q, z, d1);
        z = valueOf<T>(l2, 3, t2);
        b2 = madd(p, z, b2);
        d2 = madd(q, z, d2);
        z = valueOf<T>(l3, 3, t3);
        b3 = madd(p, z, b3);
        d3 = madd(q, z, d3);
      }
      x1 += step<T>();
      w += 64;
      w1 += 64;
    }
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  v128.store(y, b0, 64);
  v128.store(y, b1, 80);
  v128.store(y, b2, 96);
  v128.store(y, b3, 112);
  y += yBytes;
  v128.store(y, c0);
  v128.store(y, c1, 16);
  v128.store(y, c2, 32);
  v128.store(y, c3, 48);
  v128.store(y, d0, 64);
  v128.store(y, d1, 80);
  v128.store(y, d2, 96);
  v128.store(y, d3, 112);
}

/** A row of x times a panel: 16 outputs, added to those at `sums`, to `y`. */
export function tile1x16<T>(x: usize, numBytes: usize, w: usize, sums: usize, y: usize): void {
  const end = x + numBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  while (x < end) {
    const s0 = scalesAt<T>(w);
    const s1 = scalesAt<T>(w + 16);
    const s2 = scalesAt<T>(w + 32);
    const s3 = scalesAt<T>(w + 48);
    w += scaleBytes<T>();
    for (const last = groupEnd<T>(x, end); x < last; w += 64) {
      const m0 = v128.load(w);
      const m1 = v128.load(w, 16);
      const m2 = v128.load(w, 32);
      const m3 = v128.load(w, 48);
      let v0 = valueOf<T>(m0, 0, s0);
      let v1 = valueOf<T>(m1, 0, s1);
      let v2 = valueOf<T>(m2, 0, s2);
      let v3 = valueOf<T>(m3, 0, s3);
      let p = v128.load32_splat(x);
      a0 = madd(p, v0, a0);
      a1 = madd(p, v1, a1);
      a2 = madd(p, v2, a2);
      a3 = madd(p, v3, a3);
      if (sizeof<T>() < 4) {
        v0 = valueOf<T>(m0, 1, s0);
        v1 = valueOf<T>(m1, 1, s1);
        v2 = valueOf<T>(m2, 1, s2);
        v3 = valueOf<T>(m3, 1, s3);
        p = v128.load32_splat(x, 4);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
      }
      if (sizeof<T>() == 1) {
        v0 = valueOf<T>(m0, 2, s0);
        v1 = valueOf<T>(m1, 2, s1);
        v2 = valueOf<T>(m2, 2, s2);
        v3 = valueOf<T>(m3, 2, s3);
        p = v128.load32_splat(x, 8);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
        v0 = valueOf<T>(m0, 3, s0);
        v1 = valueOf<T>(m1, 3, s1);
        v2 = valueOf<T>(m2, 3, s2);
        v3 = valueOf<T>(m3, 3, s3);
        p = v128.load32_splat(x, 12);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
      }
      x += step<T>();
    }
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
}

/** Two rows of x, xBytes apart, times a panel: 16 outputs each, added to those at `sums`, to `y`. Rows of sums and of y are sumsBytes and yBytes apart. */
export function tile2x16<T>(
  x: usize,
  xBytes: usize,
  numBytes: usize,
  w: usize,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  const end = x + numBytes;
  let x1 = x + xBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  sums += sumsBytes;
  let b0 = v128.load(sums);
  let b1 = v128.load(sums, 16);
  let b2 = v128.load(sums, 32);
  let b3 = v128.load(sums, 48);
  while (x < end) {
    const s0 = scalesAt<T>(w);
    const s1 = scalesAt<T>(w + 16);
    const s2 = scalesAt<T>(w + 32);
    const s3 = scalesAt<T>(w + 48);
    w += scaleBytes<T>();
    for (const last = groupEnd<T>(x, end); x < last; w += 64) {
      const m0 = v128.load(w);
      const m1 = v128.load(w, 16);
      const m2 = v128.load(w, 32);
      const m3 = v128.load(w, 48);
      let v0 = valueOf<T>(m0, 0, s0);
      let v1 = valueOf<T>(m1, 0, s1);
      let v2 = valueOf<T>(m2, 0, s2);
      let v3 = valueOf<T>(m3, 0, s3);
      let p = v128.load32_splat(x);
      a0 = madd(p, v0, a0);
      a1 = madd(p, v1, a1);
      a2 = madd(p, v2, a2);
      a3 = madd(p, v3, a3);
      p = v128.load32_splat(x1);
      b0 = madd(p, v0, b0);
      b1 = madd(p, v1, b1);
      b2 = madd(p, v2, b2);
      b3 = madd(p, v3, b3);
      if (sizeof<T>() < 4) {
        v0 = valueOf<T>(m0, 1, s0);
        v1 = valueOf<T>(m1, 1, s1);
        v2 = valueOf<T>(m2, 1, s2);
        v3 = valueOf<T>(m3, 1, s3);
        p = v128.load32_splat(x, 4);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
        p = v128.load32_splat(x1, 4);
        b0 = madd(p, v0, b0);
        b1 = madd(p, v1, b1);
        b2 = madd(p, v2, b2);
        b3 = madd(p, v3, b3);
      }
      if (sizeof<T>() == 1) {
        v0 = valueOf<T>(m0, 2, s0);
        v1 = valueOf<T>(m1, 2, s1);
        v2 = valueOf<T>(m2, 2, s2);
        v3 = valueOf<T>(m3, 2, s3);
        p = v128.load32_splat(x, 8);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
        p = v128.load32_splat(x1, 8);
        b0 = madd(p, v0, b0);
        b1 = madd(p, v1, b1);
        b2 = madd(p, v2, b2);
        b3 = madd(p, v3, b3);
        v0 = valueOf<T>(m0, 3, s0);
        v1 = valueOf<T>(m1, 3, s1);
        v2 = valueOf<T>(m2, 3, s2);
        v3 = valueOf<T>(m3, 3, s3);
        p = v128.load32_splat(x, 12);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
        p = v128.load32_splat(x1, 12);
        b0 = madd(p, v0, b0);
        b1 = madd(p, v1, b1);
        b2 = madd(p, v2, b2);
        b3 = madd(p, v3, b3);
      }
      x += step<T>();
      x1 += step<T>();
    }
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  y += yBytes;
  v128.store(y, b0);
  v128.store(y, b1, 16);
  v128.store(y, b2, 32);
  v128.store(y, b3, 48);
}

/** Four rows of x, xBytes apart, times a panel: 16 outputs each, added to those at `sums`, to `y`. Rows of sums and of y are sumsBytes and yBytes apart. */
export function tile4x16<T>(
  x: usize,
  xBytes: usize,
  numBytes: usize,
  w: usize,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  const end = x + numBytes;
  let x1 = x + xBytes;
  let x2 = x1 + xBytes;
  let x3 = x2 + xBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  sums += sumsBytes;
  let b0 = v128.load(sums);
  let b1 = v128.load(sums, 16);
  let b2 = v128.load(sums, 32);
  let b3 = v128.load(sums, 48);
  sums += sumsBytes;
  let c0 = v128.load(sums);
  let c1 = v128.load(sums, 16);
  let c2 = v128.load(sums, 32);
  let c3 = v128.load(sums, 48);
  sums += sumsBytes;
  let d0 = v128.load(sums);
  let d1 = v128.load(sums, 16);
  let d2 = v128.load(sums, 32);
  let d3 = v128.load(sums, 48);
  while (x < end) {
    const s0 = scalesAt<T>(w);
    const s1 = scalesAt<T>(w + 16);
    const s2 = scalesAt<T>(w + 32);
    const s3 = scalesAt<T>(w + 48);
    w += scaleBytes<T>();
    for (const last = groupEnd<T>(x, end); x < last; w += 64) {
      const m0 = v128.load(w);
      const m1 = v128.load(w, 16);
      const m2 = v128.load(w, 32);
      const m3 = v128.load(w, 48);
      let v0 = valueOf<T>(m0, 0, s0);
      let v1 = valueOf<T>(m1, 0, s1);
      let v2 = valueOf<T>(m2, 0, s2);
      let v3 = valueOf<T>(m3, 0, s3);
      let p = v128.load32_splat(x);
      a0 = madd(p, v0, a0);
      a1 = madd(p, v1, a1);
      a2 = madd(p, v2, a2);
      a3 = madd(p, v3, a3);
      p = v128.load32_splat(x1);
      b0 = madd(p, v0, b0);
      b1 = madd(p, v1, b1);
      b2 = madd(p, v2, b2);
      b3 = madd(p, v3, b3);
      p = v128.load32_splat(x2);
      c0 = madd(p, v0, c0);
      c1 = madd(p, v1, c1);
      c2 = madd(p, v2, c2);
      c3 = madd(p, v3, c3);
      p = v128.load32_splat(x3);
      d0 = madd(p, v0, d0);
      d1 = madd(p, v1, d1);
      d2 = madd(p, v2, d2);
      d3 = madd(p, v3, d3);
      if (sizeof<T>() < 4) {
        v0 = valueOf<T>(m0, 1, s0);
        v1 = valueOf<T>(m1, 1, s1);
        v2 = valueOf<T>(m2, 1, s2);
        v3 = valueOf<T>(m3, 1, s3);
        p = v128.load32_splat(x, 4);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
        p = v128.load32_splat(x1, 4);
        b0 = madd(p, v0, b0);
        b1 = madd(p, v1, b1);
        b2 = madd(p, v2, b2);
        b3 = madd(p, v3, b3);
        p = v128.load32_splat(x2, 4);
        c0 = madd(p, v0, c0);
        c1 = madd(p, v1, c1);
        c2 = madd(p, v2, c2);
        c3 = madd(p, v3, c3);
        p = v128.load32_splat(x3, 4);
        d0 = madd(p, v0, d0);
        d1 = madd(p, v1, d1);
        d2 = madd(p, v2, d2);
        d3 = madd(p, v3, d3);
      }
      if (sizeof<T>() == 1) {
        v0 = valueOf<T>(m0, 2, s0);
        v1 = valueOf<T>(m1, 2, s1);
        v2 = valueOf<T>(m2, 2, s2);
        v3 = valueOf<T>(m3, 2, s3);
        p = v128.load32_splat(x, 8);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
        p = v128.load32_splat(x1, 8);
        b0 = madd(p, v0, b0);
        b1 = madd(p, v1, b1);
        b2 = madd(p, v2, b2);
        b3 = madd(p, v3, b3);
        p = v128.load32_splat(x2, 8);
        c0 = madd(p, v0, c0);
        c1 = madd(p, v1, c1);
        c2 = madd(p, v2, c2);
        c3 = madd(p, v3, c3);
        p = v128.load32_splat(x3, 8);
        d0 = madd(p, v0, d0);
        d1 = madd(p, v1, d1);
        d2 = madd(p, v2, d2);
        d3 = madd(p, v3, d3);
        v0 = valueOf<T>(m0, 3, s0);
        v1 = valueOf<T>(m1, 3, s1);
        v2 = valueOf<T>(m2, 3, s2);
        v3 = valueOf<T>(m3, 3, s3);
        p = v128.load32_splat(x, 12);
        a0 = madd(p, v0, a0);
        a1 = madd(p, v1, a1);
        a2 = madd(p, v2, a2);
        a3 = madd(p, v3, a3);
        p = v128.load32_splat(x1, 12);
        b0 = madd(p, v0, b0);
        b1 = madd(p, v1, b1);
        b2 = madd(p, v2, b2);
        b3 = madd(p, v3, b3);
        p = v128.load32_splat(x2, 12);
        c0 = madd(p, v0, c0);
        c1 = madd(p, v1, c1);
        c2 = madd(p, v2, c2);
        c3 = madd(p, v3, c3);
        p = v128.load32_splat(x3, 12);
        d0 = madd(p, v0, d0);
        d1 = madd(p, v1, d1);
        d2 = madd(p, v2, d2);
        d3 = madd(p, v3, d3);
      }
      x += step<T>();
      x1 += step<T>();
      x2 += step<T>();
      x3 += step<T>();
    }
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  y += yBytes;
  v128.store(y, b0);
  v128.store(y, b1, 16);
  v128.store(y, b2, 32);
  v128.store(y, b3, 48);
  y += yBytes;
  v128.store(y, c0);
  v128.store(y, c1, 16);
  v128.store(y, c2, 32);
  v128.store(y, c3, 48);
  y += yBytes;
  v128.store(y, d0);
  v128.store(y, d1, 16);
  v128.store(y, d2, 32);
  v128.store(y, d3, 48);
}

/** Six rows of x, xBytes apart, times a panel of floats: 16 outputs each, added to those at `sums`, to `y`. Rows of sums and of y are sumsBytes and yBytes apart. */
export function tile6x16(
  x: usize,
  xBytes: usize,
  numBytes: usize,
  w: usize,
  sums: usize,
  sumsBytes: usize,
  y: usize,
  yBytes: usize,
): void {
  const end = x + numBytes;
  let x1 = x + xBytes;
  let x2 = x1 + xBytes;
  let x3 = x2 + xBytes;
  let x4 = x3 + xBytes;
  let x5 = x4 + xBytes;
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let a2 = v128.load(sums, 32);
  let a3 = v128.load(sums, 48);
  sums += sumsBytes;
  let b0 = v128.load(sums);
  let b1 = v128.load(sums, 16);
  let b2 = v128.load(sums, 32);
  let b3 = v128.load(sums, 48);
  sums += sumsBytes;
  let c0 = v128.load(sums);
  let c1 = v128.load(sums, 16);
  let c2 = v128.load(sums, 32);
  let c3 = v128.load(sums, 48);
  sums += sumsBytes;
  let d0 = v128.load(sums);
  let d1 = v128.load(sums, 16);
  let d2 = v128.load(sums, 32);
  let d3 = v128.load(sums, 48);
  sums += sumsBytes;
  let e0 = v128.load(sums);
  let e1 = v128.load(sums, 16);
  let e2 = v128.load(sums, 32);
  let e3 = v128.load(sums, 48);
  sums += sumsBytes;
  let f0 = v128.load(sums);
  let f1 = v128.load(sums, 16);
  let f2 = v128.load(sums, 32);
  let f3 = v128.load(sums, 48);
  for (; x < end; w += 64) {
    const m0 = v128.load(w);
    const m1 = v128.load(w, 16);
    const m2 = v128.load(w, 32);
    const m3 = v128.load(w, 48);
    let p = v128.load32_splat(x);
    x += 4;
    a0 = madd(p, m0, a0);
    a1 = madd(p, m1, a1);
    a2 = madd(p, m2, a2);
    a3 = madd(p, m3, a3);
    p = v128.load32_splat(x1);
    x1 += 4;
    b0 = madd(p, m0, b0);
    b1 = madd(p, m1, b1);
    b2 = madd(p, m2, b2);
    b3 = madd(p, m3, b3);
    p = v128.load32_splat(x2);
    x2 += 4;
    c0 = madd(p, m0, c0);
    c1 = madd(p, m1, c1);
    c2 = madd(p, m2, c2);
    c3 = madd(p, m3, c3);
    p = v128.load32_splat(x3);
    x3 += 4;
    d0 = madd(p, m0, d0);
    d1 = madd(p, m1, d1);
    d2 = madd(p, m2, d2);
    d3 = madd(p, m3, d3);
    p = v128.load32_splat(x4);
    x4 += 4;
    e0 = madd(p, m0, e0);
    e1 = madd(p, m1, e1);
    e2 = madd(p, m2, e2);
    e3 = madd(p, m3, e3);
    p = v128.load32_splat(x5);
    x5 += 4;
    f0 = madd(p, m0, f0);
    f1 = madd(p, m1, f1);
    f2 = madd(p, m2, f2);
    f3 = madd(p, m3, f3);
  }
  v128.store(y, a0);
  v128.store(y, a1, 16);
  v128.store(y, a2, 32);
  v128.store(y, a3, 48);
  y += yBytes;
  v128.store(y, b0);
  v128.store(y, b1, 16);
  v128.store(y, b2, 32);
  v128.store(y, b3, 48);
  y += yBytes;
  v128.store(y, c0);
  v128.store(y, c1, 16);
  v128.store(y, c2, 32);
  v128.store(y, c3, 48);
  y += yBytes;
  v128.store(y, d0);
  v128.store(y, d1, 16);
  v128.store(y, d2, 32);
  v128.store(y, d3, 48);
  y += yBytes;
  v128.store(y, e0);
  v128.store(y, e1, 16);
  v128.store(y, e2, 32);
  v128.store(y, e3, 48);
  y += yBytes;
  v128.store(y, f0);
  v128.store(y, f1, 16);
  v128.store(y, f2, 32);
  v128.store(y, f3, 48);
}
