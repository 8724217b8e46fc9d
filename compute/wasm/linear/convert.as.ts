/**
 * Values as rows are stored, which is as words of resident outputs are (memory.as.ts; f16 in checkpoints alone), and as floats.
 * Counts are whole groups of ROW_ALIGN values; sources and targets don't overlap.
 */
import { BF16, F16, F32, FP4, FP8, INT4, INT8, PANEL_ROW, ROW_ALIGN, UINT4, groupWords } from '../memory/memory.as';
import { roundGroup } from './rounding.as';
import { valueOf } from './tiles.as';

const INFINITY_BITS: i32 = 0x7f800000;
const F16_INFINITY: i32 = 0x7c00;
/** 2¹¹². */
const F16_SCALE: f32 = 5.192296858534828e33;
/** Bytes of a group of int8: its scale and its codes. */
const GROUP_BYTES: usize = 4 + ROW_ALIGN;
/** 2¹²⁰: between the exponents of E4M3 and of floats. */
const E4M3_SCALE: f32 = 1.329227995784916e36;

/** Bytes of `count` values; here they may be any number. */
export function bytesOfValues(dtype: i32, count: i32): usize {
  if (dtype == F32) return (<usize>count) << 2;
  if (dtype == BF16 || dtype == F16) return (<usize>count) << 1;
  const numGroups = (count + ROW_ALIGN - 1) >> 5;
  const headBytes: usize = dtype == UINT4 ? 8 : 4;
  return <usize>numGroups * headBytes + <usize>(dtype <= FP8 ? count : (count + 1) >> 1);
}

/**
 * Stored values → words of `dtype`, any but f16 and fp4, which differ from them. f32 → bf16 rounds to nearest, ties to even. `floats`: room for `count` of them.
 * Returns whether all values could be held: NaN and infinity have no codes.
 */
export function encode(sourceDtype: i32, from: usize, count: i32, dtype: i32, to: usize, floats: usize): bool {
  if (dtype == F32) {
    decode(sourceDtype, from, count, to);
    return true;
  }
  if (sourceDtype != F32) {
    decode(sourceDtype, from, count, floats);
    from = floats;
  }
  if (dtype == BF16) {
    encodeBf16(from, count, to);
    return true;
  }
  const groupBytes = (<usize>groupWords(dtype)) << 2;
  for (const end = from + ((<usize>count) << 2); from < end; from += 4 * ROW_ALIGN, to += groupBytes)
    if (!roundGroup(dtype, from, to)) return false;
  return true;
}

/** Values as they are stored → floats. */
export function decode(dtype: i32, from: usize, count: i32, to: usize): void {
  if (dtype == F32) memory.copy(to, from, (<usize>count) << 2);
  else if (dtype == BF16) decodeBf16(from, count, to);
  else if (dtype == F16) decodeF16(from, count, to);
  else if (dtype == INT8) decodeInt8(from, count, to);
  else if (dtype == FP8) decodeFp8(from, count, to);
  else decodeNibbles(dtype, from, count, to);
}

/** Words of a panel's outputs, of `count` inputs → its floats [count][16]. */
export function decodePanel(dtype: i32, from: usize, count: i32, to: usize): void {
  if (dtype == BF16) decodePanelBf16(from, count, to);
  else if (dtype == INT8) decodePanelInt8(from, count, to);
  else if (dtype == FP8) decodePanelFp8(from, count, to);
  else if (dtype == INT4) decodePanelNibbles<i32>(from, count, to);
  else if (dtype == UINT4) decodePanelUint4(from, count, to);
  else decodePanelNibbles<f32>(from, count, to);
}

function decodePanelBf16(from: usize, count: i32, to: usize): void {
  for (const end = to + <usize>count * PANEL_ROW; to < end; from += 64, to += 128) {
    const a = v128.load(from);
    const b = v128.load(from, 16);
    const c = v128.load(from, 32);
    const d = v128.load(from, 48);
    v128.store(to, valueOf<u16>(a, 0, a));
    v128.store(to, valueOf<u16>(b, 0, b), 16);
    v128.store(to, valueOf<u16>(c, 0, c), 32);
    v128.store(to, valueOf<u16>(d, 0, d), 48);
    v128.store(to, valueOf<u16>(a, 1, a), 64);
    v128.store(to, valueOf<u16>(b, 1, b), 80);
    v128.store(to, valueOf<u16>(c, 1, c), 96);
    v128.store(to, valueOf<u16>(d, 1, d), 112);
  }
}

function decodePanelInt8(from: usize, count: i32, to: usize): void {
  for (const end = to + <usize>count * PANEL_ROW; to < end;) {
    const s = v128.load(from);
    const t = v128.load(from, 16);
    const u = v128.load(from, 32);
    const v = v128.load(from, 48);
    from += 64;
    for (const groupEnd = to + <usize>ROW_ALIGN * PANEL_ROW; to < groupEnd; from += 64, to += 256) {
      const a = v128.load(from);
      const b = v128.load(from, 16);
      const c = v128.load(from, 32);
      const d = v128.load(from, 48);
      v128.store(to, valueOf<i8>(a, 0, s));
      v128.store(to, valueOf<i8>(b, 0, t), 16);
      v128.store(to, valueOf<i8>(c, 0, u), 32);
      v128.store(to, valueOf<i8>(d, 0, v), 48);
      v128.store(to, valueOf<i8>(a, 1, s), 64);
      v128.store(to, valueOf<i8>(b, 1, t), 80);
      v128.store(to, valueOf<i8>(c, 1, u), 96);
      v128.store(to, valueOf<i8>(d, 1, v), 112);
      v128.store(to, valueOf<i8>(a, 2, s), 128);
      v128.store(to, valueOf<i8>(b, 2, t), 144);
      v128.store(to, valueOf<i8>(c, 2, u), 160);
      v128.store(to, valueOf<i8>(d, 2, v), 176);
      v128.store(to, valueOf<i8>(a, 3, s), 192);
      v128.store(to, valueOf<i8>(b, 3, t), 208);
      v128.store(to, valueOf<i8>(c, 3, u), 224);
      v128.store(to, valueOf<i8>(d, 3, v), 240);
    }
  }
}

function decodeBf16(from: usize, count: i32, to: usize): void {
  for (const end = from + ((<usize>count) << 1); from < end; from += 32, to += 64) {
    v128.store(to, i32x4.shl(v128.load16x4_u(from), 16));
    v128.store(to, i32x4.shl(v128.load16x4_u(from, 8), 16), 16);
    v128.store(to, i32x4.shl(v128.load16x4_u(from, 16), 16), 32);
    v128.store(to, i32x4.shl(v128.load16x4_u(from, 24), 16), 48);
  }
}

function decodeF16(from: usize, count: i32, to: usize): void {
  for (const end = from + ((<usize>count) << 1); from < end; from += 16, to += 32) {
    v128.store(to, floatsOfF16(v128.load16x4_u(from)));
    v128.store(to, floatsOfF16(v128.load16x4_u(from, 8)), 16);
  }
}

/** Exactly, payloads of NaNs too. With its exponent moved into that of a float, a value is 2¹¹² times too small, subnormal or not. */
function floatsOfF16(halves: v128): v128 {
  const sign = i32x4.shl(v128.and(halves, i32x4.splat(0x8000)), 16);
  const moved = i32x4.shl(v128.and(halves, i32x4.splat(0x7fff)), 13);
  const finite = f32x4.mul(moved, f32x4.splat(F16_SCALE));
  const infinite = v128.or(moved, i32x4.splat(INFINITY_BITS));
  return v128.or(sign, v128.bitselect(infinite, finite, i32x4.ge_u(moved, i32x4.splat(F16_INFINITY << 13))));
}

function decodeInt8(from: usize, count: i32, to: usize): void {
  for (const end = to + ((<usize>count) << 2); to < end; from += GROUP_BYTES) {
    const scale = v128.load32_splat(from);
    for (let at: usize = 4; at < GROUP_BYTES; at += 8, to += 32) {
      const eight = v128.load8x8_s(from + at);
      v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(eight)), scale));
      v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(eight)), scale), 16);
    }
  }
}

function decodeFp8(from: usize, count: i32, to: usize): void {
  for (const end = to + ((<usize>count) << 2); to < end; from += GROUP_BYTES) {
    const scale = v128.load32_splat(from);
    for (let at: usize = 4; at < GROUP_BYTES; at += 8, to += 32) {
      const eight = v128.load8x8_u(from + at);
      v128.store(to, f32x4.mul(e4m3Of(i32x4.extend_low_i16x8_u(eight)), scale));
      v128.store(to, f32x4.mul(e4m3Of(i32x4.extend_high_i16x8_u(eight)), scale), 16);
    }
  }
}

/** Four codes. With its exponent moved into that of a float, a value is 2¹²⁰ times too small, subnormal or not; all ones but the sign is NaN. */
function e4m3Of(codes: v128): v128 {
  const sign = i32x4.shl(v128.and(codes, i32x4.splat(0x80)), 24);
  const magnitude = v128.and(codes, i32x4.splat(0x7f));
  const value = f32x4.mul(i32x4.shl(magnitude, 20), f32x4.splat(E4M3_SCALE));
  return v128.or(sign, v128.bitselect(f32x4.splat(NaN), value, i32x4.eq(magnitude, i32x4.splat(0x7f))));
}

function decodePanelFp8(from: usize, count: i32, to: usize): void {
  for (const end = to + <usize>count * PANEL_ROW; to < end;) {
    const scales = from;
    from += 64;
    for (let word = 0; word < ROW_ALIGN / 4; word++, from += 64, to += 256) {
      for (let column: usize = 0; column < 64; column += 16) {
        const words = v128.load(from + column);
        const s = v128.load(scales + column);
        const low = i32x4.splat(0xff);
        v128.store(to + column, f32x4.mul(e4m3Of(v128.and(words, low)), s));
        v128.store(to + column, f32x4.mul(e4m3Of(v128.and(i32x4.shr_u(words, 8), low)), s), 64);
        v128.store(to + column, f32x4.mul(e4m3Of(v128.and(i32x4.shr_u(words, 16), low)), s), 128);
        v128.store(to + column, f32x4.mul(e4m3Of(i32x4.shr_u(words, 24)), s), 192);
      }
    }
  }
}

/** Four bits of each of four words, `shift` bits from the highest, as floats. T: i32 for whole numbers, f32 for E2M1, of which a table has the upper 16 bits. */
function nibblesOf<T>(words: v128, shift: i32): v128 {
  if (!isFloat<T>()) return f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(words, shift), 28));
  const code = i32x4.shr_u(i32x4.shl(words, shift), 28);
  const high = i8x16.swizzle(
    i8x16(0, 0x3f, 0x3f, 0x3f, 0x40, 0x40, 0x40, 0x40, -0x80, -0x41, -0x41, -0x41, -0x40, -0x40, -0x40, -0x40),
    code,
  );
  const low = i8x16.swizzle(
    i8x16(0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40, 0, 0, -0x80, -0x40, 0, 0x40, -0x80, -0x40),
    code,
  );
  return v128.or(i32x4.shl(high, 24), i32x4.shl(low, 16));
}

function decodePanelNibbles<T>(from: usize, count: i32, to: usize): void {
  for (const end = to + <usize>count * PANEL_ROW; to < end;) {
    const scales = from;
    from += 64;
    for (let word = 0; word < ROW_ALIGN / 8; word++, from += 64) {
      for (let shift = 28; shift >= 0; shift -= 4, to += 64) {
        v128.store(to, f32x4.mul(nibblesOf<T>(v128.load(from), shift), v128.load(scales)));
        v128.store(to, f32x4.mul(nibblesOf<T>(v128.load(from, 16), shift), v128.load(scales, 16)), 16);
        v128.store(to, f32x4.mul(nibblesOf<T>(v128.load(from, 32), shift), v128.load(scales, 32)), 32);
        v128.store(to, f32x4.mul(nibblesOf<T>(v128.load(from, 48), shift), v128.load(scales, 48)), 48);
      }
    }
  }
}

function decodePanelUint4(from: usize, count: i32, to: usize): void {
  for (const end = to + <usize>count * PANEL_ROW; to < end;) {
    const head = from;
    from += 128;
    for (let word = 0; word < ROW_ALIGN / 8; word++, from += 64) {
      for (let shift = 28; shift >= 0; shift -= 4, to += 64) {
        for (let column: usize = 0; column < 64; column += 16) {
          const codes = f32x4.convert_i32x4_u(i32x4.shr_u(i32x4.shl(v128.load(from + column), shift), 28));
          const around = f32x4.sub(codes, v128.load(head + column, 64));
          v128.store(to + column, f32x4.mul(around, v128.load(head + column)));
        }
      }
    }
  }
}

/** One row: rare, so one value at a time. */
function decodeNibbles(dtype: i32, from: usize, count: i32, to: usize): void {
  for (const end = to + ((<usize>count) << 2); to < end;) {
    const scale = load<f32>(from);
    from += 4;
    let zero: f32 = 0;
    if (dtype == UINT4) {
      zero = load<f32>(from);
      from += 4;
    }
    for (let i = 0; i < ROW_ALIGN; i += 8, from += 4) {
      const word = i32x4.splat(load<i32>(from));
      for (let shift = 28; shift >= 0; shift -= 4, to += 4) {
        if (dtype == UINT4) {
          store<f32>(to, (<f32>((load<u32>(from) >> (28 - shift)) & 15) - zero) * scale);
          continue;
        }
        const value = dtype == FP4 ? nibblesOf<f32>(word, shift) : nibblesOf<i32>(word, shift);
        store<f32>(to, f32x4.extract_lane(value, 0) * scale);
      }
    }
  }
}

function encodeBf16(from: usize, count: i32, to: usize): void {
  for (const end = to + ((<usize>count) << 1); to < end; from += 32, to += 16) {
    v128.store(to, i16x8.narrow_i32x4_u(bf16Of(v128.load(from)), bf16Of(v128.load(from, 16))));
  }
}

/** Four codes as i32; a NaN becomes quiet and keeps its sign and upper payload. */
export function bf16Of(bits: v128): v128 {
  const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1));
  const rounded = i32x4.add(bits, i32x4.add(odd, i32x4.splat(0x7fff)));
  const quiet = v128.or(bits, i32x4.splat(0x00400000));
  return i32x4.shr_u(v128.bitselect(quiet, rounded, f32x4.ne(bits, bits)), 16);
}
