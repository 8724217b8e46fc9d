/** Floats by their bits, and the wire’s bytes of them. */
import { expect } from 'chai';
import { decodeRows, encodeRows, roundTripRows, wireRowBytes, type WireDtype } from '../../../comm/codec/wire_dtype.js';
import { randomFrom } from '../../refs/random.js';
import { bitsOf, decodeRef, encodeRef } from '../../refs/wire_dtype_ref.js';

/** Bits of a NaN. */
export const QUIET_NAN = 0x7fc00000;
/** Bits of the infinity. */
export const INFINITY = 0x7f800000;
/** Bits of the largest finite value. */
export const LARGEST = 0x7f7fffff;
/** What the other sign adds to the bits. */
export const SIGN = 2 ** 31;
/** NaNs of every kind: quiet, signalling, payloads that bf16 keeps and loses. */
export const NANS = [QUIET_NAN, 0x7f800001, 0x7fbfffff, 0x7fffffff, 0x7f81ffff, 0x7fabcdef];
/** Bits of zeros, subnormals, the largest values, infinities and NaNs, of both signs. */
export const ODD_VALUES = [0, 1, 0x7fffff, 0x800000, LARGEST, INFINITY, ...NANS].flatMap((bits) => [bits, bits + SIGN]);

/** Values of these bits. */
export const floats = (bits: readonly number[]): Float32Array => new Float32Array(Uint32Array.from(bits).buffer);
/** Bits of these values. */
export const bits = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.byteLength / 4);

/** Arrays of the same bits; tells the first that differs. */
export function expectSame(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  expect(actual.length, what).to.equal(expected.length);
  for (let i = 0; i < expected.length; i++) {
    if (actual[i] !== expected[i]) expect.fail(`${what}: [${i}] is ${actual[i]!}, ${expected[i]!} expected`);
  }
}

/** The wire's bytes of x's rows. */
export function encoded(dtype: WireDtype, x: Float32Array, rows: Int32Array | null, numRows: number, hidden: number) {
  const out = new Uint8Array(numRows * wireRowBytes(dtype, hidden)).fill(0xa5);
  encodeRows(dtype, x, rows, numRows, hidden, out);
  return out;
}

/** The rows that bytes of the wire stand for. */
export function decoded(dtype: WireDtype, bytes: Uint8Array, numRows: number, hidden: number): Float32Array {
  const out = new Float32Array(numRows * hidden);
  decodeRows(dtype, bytes, numRows, hidden, out, 0);
  return out;
}

/** Encodes, decodes and takes the round trip of rows given as bits, each against the reference. */
export function expectLikeReference(
  dtype: WireDtype,
  x: readonly (readonly number[])[],
  picked: Int32Array | null,
): void {
  const hidden = x[0]!.length;
  const chosen = picked === null ? x : Array.from(picked, (row) => x[row]!);
  const values = floats(x.flat());
  const bytes = encoded(dtype, values, picked, chosen.length, hidden);
  expectSame(bytes, encodeRef(dtype, chosen), `${dtype} codes, H ${hidden}`);
  const back = decodeRef(dtype, bytes, chosen.length, hidden);
  expectSame(bits(decoded(dtype, bytes, chosen.length, hidden)), back, `${dtype} values, H ${hidden}`);
  const out = new Float32Array((chosen.length + 1) * hidden);
  roundTripRows(dtype, values, picked, chosen.length, hidden, out, 1);
  expectSame(bits(out.subarray(hidden)), back, `${dtype} round trip, H ${hidden}`);
}

/** Rows of normal values with a few odd ones. */
export function randomRows(seed: number, numRows: number, hidden: number, oddShare = 0.01): number[][] {
  const random = randomFrom(seed);
  return Array.from({ length: numRows }, () => {
    const scale = 10 ** (8 * random() - 4);
    return Array.from({ length: hidden }, () =>
      random() < oddShare ? ODD_VALUES[Math.floor(random() * ODD_VALUES.length)]! : bitsOf(scale * normal(random)),
    );
  });
}

/** A normally distributed value. */
export const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** Groups of 128, each of which `first` begins: it sets the scale. */
export const groupsOf = (first: number, rest: readonly number[]): number[] =>
  Array.from({ length: Math.ceil(rest.length / 127) }, (_, i) => {
    const group = [bitsOf(first), ...rest.slice(127 * i, 127 * (i + 1))];
    return [...group, ...new Array<number>(128 - group.length).fill(0)];
  }).flat();

/** Every bit pattern, one float32 step beside it, and all with the other sign. */
export const withNeighbours = (positives: readonly number[]): number[] =>
  positives.flatMap((value) => [value - 1, value, value + 1]).flatMap((value) => [value, value + SIGN]);

/** Dtypes that lose bits. */
export const ENCODED = ['bf16', 'fp8', 'int8'] as const;
/** Dtypes with a scale per group. */
export const SCALED = ['fp8', 'int8'] as const;
