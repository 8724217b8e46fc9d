/**
 * How rows of activations travel: T rows [T·H] in memory, n of them on the wire, H channels. Groups of 128 channels share a scale, G = ⌈H/128⌉ per row;
 * a row's last group may be shorter. f32 and bf16: values [n·H]. fp8 and int8: scales f32 [n·G], then codes [n·H], one byte each. Little-endian.
 *
 * - bf16: round to nearest, ties to even; NaN becomes quiet, everything else keeps its kind.
 * - fp8 (e4m3fn, after DeepEP): scale = max(amax, 1e-4)/448, code = nearest even of x·(448/max(amax, 1e-4)), each operation rounded to float32.
 * - int8: scale = max(amax, 127·2⁻¹²⁶)/127, code = nearest even of x·(127/max(amax, 127·2⁻¹²⁶)), likewise.
 *
 * amax is the largest finite |x| of the group. NaN and ±Inf become fp8's NaN (0x7f, 0xff) or int8's −128, and NaN when decoded; other values of
 * the group are not affected.
 */
import { codec } from './codec.js';
import { checkBytes, checkOut, checkRows } from './wire_check.js';
import { bytesOf, copyRows, forEachPiece, stageValues, type Piece } from './wire_staging.js';

/** What rows may travel as, from exact to smallest. */
export const WIRE_DTYPES = ['f32', 'bf16', 'fp8', 'int8'] as const;
/** What rows travel as; a header says it by its place in {@link WIRE_DTYPES}. */
export type WireDtype = (typeof WIRE_DTYPES)[number];

/** Channels that share one scale in fp8 and int8, as in DeepEP. */
export const CHANNELS_PER_SCALE = 128;

/** Bytes of one row of H channels on the wire. */
export function wireRowBytes(dtype: WireDtype, hidden: number): number {
  return rowScaleBytes(dtype, hidden) + VALUE_BYTES[dtype] * hidden;
}

/**
 * Writes `numRows` rows of x as they travel: x's rows `rows[0 … numRows)`, or its first `numRows` where `rows` is null.
 *
 * @param x [T·H]
 * @param out numRows · wireRowBytes bytes, at any alignment
 * @throws CommError INVALID_ARGUMENT when a length or a row doesn't fit; `out` is untouched then
 */
export function encodeRows(
  dtype: WireDtype,
  x: Float32Array,
  rows: Int32Array | null,
  numRows: number,
  hidden: number,
  out: Uint8Array,
): void {
  checkRows('encodeRows', x, rows, numRows, hidden);
  checkBytes('encodeRows', dtype, out, numRows * wireRowBytes(dtype, hidden));
  if (dtype === 'f32') return copyRows(x, rows, numRows, hidden, out);
  const { scales, codes, kernels } = codec();
  forEachPiece(numRows, hidden, (piece) => {
    stageValues(x, rows, hidden, piece);
    kernels[dtype].encode(piece.numRows, piece.numChannels);
    const at = placeOf(dtype, numRows, hidden, piece);
    out.set(scales.subarray(0, at.scaleBytes), at.scalesAt);
    out.set(codes.subarray(0, at.codeBytes), at.codesAt);
  });
}

/**
 * Reads `numRows` rows from the wire into out's rows `outRowStart …`.
 *
 * @param bytes numRows · wireRowBytes bytes, at any alignment
 * @param out [T·H]; other rows are untouched
 * @throws CommError INVALID_ARGUMENT when a length doesn't fit
 */
export function decodeRows(
  dtype: WireDtype,
  bytes: Uint8Array,
  numRows: number,
  hidden: number,
  out: Float32Array,
  outRowStart: number,
): void {
  checkOut('decodeRows', out, outRowStart, numRows, hidden);
  checkBytes('decodeRows', dtype, bytes, numRows * wireRowBytes(dtype, hidden));
  if (dtype === 'f32') return bytesOf(out).set(bytes, 4 * outRowStart * hidden);
  const { values, scales, codes, kernels } = codec();
  forEachPiece(numRows, hidden, (piece) => {
    const at = placeOf(dtype, numRows, hidden, piece);
    scales.set(bytes.subarray(at.scalesAt, at.scalesAt + at.scaleBytes));
    codes.set(bytes.subarray(at.codesAt, at.codesAt + at.codeBytes));
    kernels[dtype].decode(piece.numRows, piece.numChannels);
    out.set(values.subarray(0, piece.numRows * piece.numChannels), (outRowStart + piece.row) * hidden + piece.channel);
  });
}

/**
 * What decodeRows gives after encodeRows, without the bytes between: own rows are rounded as those that travel are.
 *
 * @param x [T·H], which `out` may share only where each row stays in its place
 * @param out [T·H]; rows `outRowStart …` are written
 * @throws CommError INVALID_ARGUMENT when a length or a row doesn't fit
 */
export function roundTripRows(
  dtype: WireDtype,
  x: Float32Array,
  rows: Int32Array | null,
  numRows: number,
  hidden: number,
  out: Float32Array,
  outRowStart: number,
): void {
  checkRows('roundTripRows', x, rows, numRows, hidden);
  checkOut('roundTripRows', out, outRowStart, numRows, hidden);
  const outRows = out.subarray(outRowStart * hidden, (outRowStart + numRows) * hidden);
  if (dtype === 'f32') return copyRows(x, rows, numRows, hidden, bytesOf(outRows));
  const { values, kernels } = codec();
  forEachPiece(numRows, hidden, (piece) => {
    stageValues(x, rows, hidden, piece);
    kernels[dtype].encode(piece.numRows, piece.numChannels);
    kernels[dtype].decode(piece.numRows, piece.numChannels);
    outRows.set(values.subarray(0, piece.numRows * piece.numChannels), piece.row * hidden + piece.channel);
  });
}

const VALUE_BYTES: Readonly<Record<WireDtype, number>> = { f32: 4, bf16: 2, fp8: 1, int8: 1 };

const rowScaleBytes = (dtype: WireDtype, hidden: number): number =>
  dtype === 'fp8' || dtype === 'int8' ? 4 * Math.ceil(hidden / CHANNELS_PER_SCALE) : 0;

/** Where a piece lies among the wire's bytes. */
function placeOf(dtype: WireDtype, numRows: number, hidden: number, piece: Piece) {
  const first = piece.row * hidden + piece.channel;
  const valueBytes = VALUE_BYTES[dtype];
  const scales = rowScaleBytes(dtype, hidden);
  return {
    scalesAt: piece.row * scales + rowScaleBytes(dtype, piece.channel),
    scaleBytes: piece.numRows * rowScaleBytes(dtype, piece.numChannels),
    codesAt: numRows * scales + first * valueBytes,
    codeBytes: piece.numRows * piece.numChannels * valueBytes,
  };
}
