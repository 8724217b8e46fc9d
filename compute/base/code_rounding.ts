/**
 * Numbers rounded to codes with a scale per group: one rule for weights in memory and in files, in float32 arithmetic, so that kernels reach the same bits.
 * Pure. Why: docs/decisions/formats.md#numbers-are-rounded-by-one-rule
 */

/** `int8`: −127 … 127 · scale; `int4`: −8 … 7 · scale, which may be negative; `uint4`: (0 … 15 − zero) · scale. */
export type RoundedType = 'int8' | 'int4' | 'uint4';

/** What the codes of a group stand for: (code − zero) · scale. */
export interface GroupScale {
  /** 0 where all values are 0, or too small for a scale; NaN where one of them has no code: it isn't finite, or of four bits 2¹²⁴ or larger. */
  readonly scale: number;
  /** A whole number 0 … 15; 0 but for `uint4`. */
  readonly zero: number;
}

/**
 * Rounds values `from` … `to` − 1, of one group, and writes their codes at the same places.
 *
 * int8: scale = largest magnitude / 127. int4: that of the value with the largest magnitude / −8, −7.5, −8.5, −7 and −9 that has the least squared error. uint4: so chosen among 1, 0.95, 0.9, 0.85 and
 * 0.8 of the range from the least to the largest value or 0, divided by 15. The last two round scales to bfloat16, which is what files hold. Codes are quotients, ties to even.
 */
export function roundGroup(
  type: RoundedType,
  values: Float32Array,
  from: number,
  to: number,
  codes: Int8Array,
): GroupScale {
  const limit = type === 'int8' ? Infinity : FOUR_BITS_LIMIT;
  let [least, largest] = [0, 0];
  for (let i = from; i < to; i++) {
    const value = values[i]!;
    if (!(Math.abs(value) < limit)) return { scale: NaN, zero: 0 };
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  const group = { values, from, to, codes };
  switch (type) {
    case 'int8':
      return rounded(group, Math.min(fround(Math.max(largest, -least) / 127), INT8_LARGEST_SCALE), 0, -127, 127);
    case 'int4':
      return bestOf(group, int4Scales(least, largest), -8, 7);
    case 'uint4':
      return bestOf(group, uint4Scales(least, largest), 0, 15);
  }
}

interface Group {
  readonly values: Float32Array;
  readonly from: number;
  readonly to: number;
  readonly codes: Int8Array;
}

const { fround } = Math;
/** What is below it has a scale whose 15-fold is finite, rounded up or not. */
const FOUR_BITS_LIMIT = 2 ** 124;
/** The largest scale whose 127-fold is finite. */
const INT8_LARGEST_SCALE = 2.6793883890187504e36;
const INT4_DIVISORS = [-8, -7.5, -8.5, -7, -9];
const UINT4_SHARES = [1, 0.95, 0.9, 0.85, 0.8].map(fround);

/** The largest magnitude is that of a code of four bits without a partner: −8, or beyond it. Of two values as large as each other the positive one counts. */
function int4Scales(least: number, largest: number): GroupScale[] {
  const extreme = largest >= -least ? largest : least;
  return INT4_DIVISORS.map((divisor) => ({ scale: bf16(fround(extreme / divisor)), zero: 0 }));
}

function uint4Scales(least: number, largest: number): GroupScale[] {
  const range = fround(fround(largest - least) / 15);
  return UINT4_SHARES.map((share) => {
    const scale = bf16(fround(range * share));
    return { scale, zero: scale === 0 ? 0 : nearest(fround(fround(-least * share) / scale), 0, 15) };
  });
}

/** The first one of the least squared error. Sums are of four lanes, as vectors have them. */
function bestOf(group: Group, candidates: readonly GroupScale[], low: number, high: number): GroupScale {
  let best = candidates[0]!;
  let leastError = Infinity;
  for (const candidate of candidates) {
    const error = squaredError(group, candidate, low, high);
    if (!(error < leastError)) continue;
    best = candidate;
    leastError = error;
  }
  return rounded(group, best.scale, best.zero, low, high);
}

function squaredError({ values, from, to }: Group, { scale, zero }: GroupScale, low: number, high: number): number {
  const [least, most] = [low - zero, high - zero];
  const divisor = scale === 0 ? Infinity : scale;
  let [a, b, c, d] = [0, 0, 0, 0];
  let i = from;
  for (; i + 3 < to; i += 4) {
    a = fround(a + squareOf(values[i]!, scale, divisor, least, most));
    b = fround(b + squareOf(values[i + 1]!, scale, divisor, least, most));
    c = fround(c + squareOf(values[i + 2]!, scale, divisor, least, most));
    d = fround(d + squareOf(values[i + 3]!, scale, divisor, least, most));
  }
  if (i < to) a = fround(a + squareOf(values[i]!, scale, divisor, least, most));
  if (i + 1 < to) b = fround(b + squareOf(values[i + 1]!, scale, divisor, least, most));
  if (i + 2 < to) c = fround(c + squareOf(values[i + 2]!, scale, divisor, least, most));
  return fround(fround(a + b) + fround(c + d));
}

function squareOf(value: number, scale: number, divisor: number, least: number, most: number): number {
  const error = fround(value - fround(nearest(fround(value / divisor), least, most) * scale));
  return fround(error * error);
}

function rounded(
  { values, from, to, codes }: Group,
  scale: number,
  zero: number,
  low: number,
  high: number,
): GroupScale {
  for (let i = from; i < to; i++) {
    codes[i] = scale === 0 ? zero : nearest(fround(values[i]! / scale), low - zero, high - zero) + zero;
  }
  return { scale, zero };
}

/** The nearest whole number of a range, ties to even: in 1.5 · 2²³ + x a float32 has no bits behind the point. */
function nearest(x: number, low: number, high: number): number {
  const within = x < low ? low : x > high ? high : x;
  return fround(within + 12_582_912) - 12_582_912;
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** The nearest bfloat16 of a finite number, ties to even; 0 without a sign. */
function bf16(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0]!;
  scratchBits[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return scratch[0] + 0;
}
