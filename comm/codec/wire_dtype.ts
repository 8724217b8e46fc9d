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
import { codec, type Codec } from './codec.js';
import type { CustomRows } from './custom_rows.js';
import { checkBytes, checkOut, checkRows } from './wire_check.js';
import type { WireCodec } from './wire_codec.js';
import {
  alignedAs,
  copyRows,
  forEachPiece,
  forEachPlacedRun,
  placed,
  stageValues,
  strided,
  stridedBytes,
  unstageValues,
  type Piece,
  type Placed,
  type Rows,
} from './wire_staging.js';

/** What rows may travel as, from exact to smallest. */
export const WIRE_DTYPES = ['f32', 'bf16', 'fp8', 'int8'] as const;
/** What rows travel as; a header says it by its place in {@link WIRE_DTYPES}. */
export type WireDtype = (typeof WIRE_DTYPES)[number];

/** Channels that share one scale in fp8 and int8, as in DeepEP. */
export const CHANNELS_PER_SCALE = 128;

/** How rows travel: as a dtype of {@link WIRE_DTYPES}, or as a codec of somebody else has them. */
export type WireForm = WireDtype | CustomRows;

/** Bytes of one row of H channels on the wire. */
export function wireRowBytes(dtype: WireDtype | Pick<WireCodec, 'rowBytes'>, hidden: number): number {
  if (typeof dtype !== 'string') return dtype.rowBytes(hidden);
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
  dtype: WireForm,
  x: Rows,
  rows: Int32Array | null,
  numRows: number,
  hidden: number,
  out: Uint8Array,
): void {
  checkRows('encodeRows', x, rows, numRows, hidden);
  checkBytes('encodeRows', dtype, out, numRows * wireRowBytes(dtype, hidden));
  if (typeof dtype !== 'string') return dtype.encode(x, rows, numRows, out);
  const where = placed(x);
  if (dtype === 'f32') {
    if (where !== undefined && !isAlignedAs(out, where)) return copyOut(where, rows, numRows, hidden, out);
    const rowBytes = 4 * hidden;
    return copyRows(stridedBytes(strided(x, hidden)), rows, numRows, rowBytes, { cells: out, stride: rowBytes }, 0);
  }
  const from = where === undefined ? strided(x, hidden) : undefined;
  const areas = where?.codec ?? codec();
  const { bytes, valuesAt } = areas;
  const { encode } = areas.kernels[dtype];
  forEachPiece(numRows, hidden, (piece) => {
    const { numChannels } = piece;
    const at = placeOf(dtype, numRows, hidden, piece);
    const scalesAt = alignedAs(out, at.scalesAt, areas.scalesAt);
    const codesAt = alignedAs(out, at.codesAt, areas.codesAt);
    if (where === undefined) {
      stageValues(codec(), valuesAt, from!, rows, piece);
      encode(valuesAt, scalesAt, codesAt, piece.numRows, numChannels);
    } else {
      const scaleBytes = rowScaleBytes(dtype, numChannels);
      const codeBytes = numChannels * VALUE_BYTES[dtype];
      forEachPlacedRun(where, rows, piece, (address, n, count) =>
        encode(address, scalesAt + n * scaleBytes, codesAt + n * codeBytes, count, numChannels),
      );
    }
    if (at.scaleBytes > 0) out.set(bytes.subarray(scalesAt, scalesAt + at.scaleBytes), at.scalesAt);
    out.set(bytes.subarray(codesAt, codesAt + at.codeBytes), at.codesAt);
  });
}

/**
 * Reads `numRows` rows from the wire into out's rows `outRowStart …`.
 *
 * @param wire numRows · wireRowBytes bytes, at any alignment
 * @param out [T·H]; other rows are untouched
 * @throws CommError INVALID_ARGUMENT when a length doesn't fit
 */
export function decodeRows(
  dtype: WireForm,
  wire: Uint8Array,
  numRows: number,
  hidden: number,
  out: Rows,
  outRowStart: number,
): void {
  checkOut('decodeRows', out, outRowStart, numRows, hidden);
  checkBytes('decodeRows', dtype, wire, numRows * wireRowBytes(dtype, hidden));
  if (typeof dtype !== 'string') return dtype.decode(wire, numRows, out, outRowStart);
  const where = placed(out);
  if (dtype === 'f32') {
    if (where !== undefined && !isAlignedAs(wire, where)) return copyIn(wire, numRows, hidden, where, outRowStart);
    const rowBytes = 4 * hidden;
    const from = { cells: wire, stride: rowBytes };
    return copyRows(from, null, numRows, rowBytes, stridedBytes(strided(out, hidden)), outRowStart);
  }
  const wireRows = { dtype, wire, numRows, hidden };
  if (where !== undefined) {
    const { address, stride } = where;
    const first = { ...where, address: address + 4 * outRowStart * stride };
    return forEachPiece(numRows, hidden, (piece) => decodePiece(where.codec, wireRows, piece, first));
  }
  const to = strided(out, hidden);
  const own = codec();
  forEachPiece(numRows, hidden, (piece) => {
    decodePieceTo(own, wireRows, piece, own.valuesAt);
    unstageValues(own, own.valuesAt, to, outRowStart, piece);
  });
}

/** Whether V8 copies between the two by words. */
const isAlignedAs = (bytes: Uint8Array, { address }: Placed): boolean => alignedAs(bytes, 0, address) === address;

/** Float32 rows out of a shared memory to bytes that are aligned otherwise: through the codec's areas. */
function copyOut(from: Placed, rows: Int32Array | null, numRows: number, hidden: number, out: Uint8Array): void {
  const { bytes, valuesAt, copyRow } = from.codec;
  forEachPiece(numRows, hidden, (piece) => {
    const { codesAt: at, codeBytes } = placeOf('f32', numRows, hidden, piece);
    const staged = alignedAs(out, at, valuesAt);
    forEachPlacedRun(from, rows, piece, (address, n, count) =>
      copyRow(staged + 4 * n * piece.numChannels, address, count * piece.numChannels),
    );
    out.set(bytes.subarray(staged, staged + codeBytes), at);
  });
}

/** The other way. */
function copyIn(wire: Uint8Array, numRows: number, hidden: number, to: Placed, firstRow: number): void {
  const { bytes, valuesAt, copyRow } = to.codec;
  const first = { ...to, address: to.address + 4 * firstRow * to.stride };
  forEachPiece(numRows, hidden, (piece) => {
    const { codesAt: at, codeBytes } = placeOf('f32', numRows, hidden, piece);
    const staged = alignedAs(wire, at, valuesAt);
    bytes.set(wire.subarray(at, at + codeBytes), staged);
    forEachPlacedRun(first, null, piece, (address, n, count) =>
      copyRow(address, staged + 4 * n * piece.numChannels, count * piece.numChannels),
    );
  });
}

/** Rows [n] as they travel, of other bytes than their values. */
export interface CodedRows {
  readonly dtype: Exclude<WireDtype, 'f32'>;
  readonly wire: Uint8Array;
  readonly numRows: number;
  readonly hidden: number;
}

/** Decodes a piece to address `at` of the codec, where a group more than the piece has room unless rows are of whole vectors. */
export function decodePieceTo(codec: Codec, rows: CodedRows, piece: Piece, at: number): void {
  const { scalesAt, codesAt } = stageCodes(codec, rows, piece);
  codec.kernels[rows.dtype].decode(at, scalesAt, codesAt, piece.numRows, piece.numChannels);
}

/** Decodes a piece to where its rows are to lie. */
function decodePiece(codec: Codec, rows: CodedRows, piece: Piece, to: Placed): void {
  const { dtype } = rows;
  const { decode } = codec.kernels[dtype];
  const { numChannels } = piece;
  const scaleBytes = rowScaleBytes(dtype, numChannels);
  const codeBytes = numChannels * VALUE_BYTES[dtype];
  const { scalesAt, codesAt } = stageCodes(codec, rows, piece);
  forEachPlacedRun(to, null, piece, (address, n, count) =>
    decode(address, scalesAt + n * scaleBytes, codesAt + n * codeBytes, count, numChannels),
  );
}

/** Copies a piece's codes and scales to the codec's areas; returns where they are. */
function stageCodes(
  codec: Codec,
  { dtype, wire, numRows, hidden }: CodedRows,
  piece: Piece,
): Pick<Codec, 'scalesAt' | 'codesAt'> {
  const place = placeOf(dtype, numRows, hidden, piece);
  const { bytes } = codec;
  const scalesAt = alignedAs(wire, place.scalesAt, codec.scalesAt);
  const codesAt = alignedAs(wire, place.codesAt, codec.codesAt);
  if (place.scaleBytes > 0) bytes.set(wire.subarray(place.scalesAt, place.scalesAt + place.scaleBytes), scalesAt);
  bytes.set(wire.subarray(place.codesAt, place.codesAt + place.codeBytes), codesAt);
  return { scalesAt, codesAt };
}

/**
 * What decodeRows gives after encodeRows, without the bytes between: own rows are rounded as those that travel are.
 *
 * @param x [T·H], which `out` may share only where each row stays in its place
 * @param out [T·H]; rows `outRowStart …` are written
 * @throws CommError INVALID_ARGUMENT when a length or a row doesn't fit
 */
export function roundTripRows(
  dtype: WireForm,
  x: Rows,
  rows: Int32Array | null,
  numRows: number,
  hidden: number,
  out: Rows,
  outRowStart: number,
): void {
  checkRows('roundTripRows', x, rows, numRows, hidden);
  checkOut('roundTripRows', out, outRowStart, numRows, hidden);
  if (typeof dtype !== 'string') return dtype.round(x, rows, numRows, out, outRowStart);
  const [from, to] = [strided(x, hidden), strided(out, hidden)];
  if (dtype === 'f32') return copyRows(from, rows, numRows, hidden, to, outRowStart);
  const [whereFrom, whereTo] = [placed(x), placed(out)];
  if (whereFrom !== undefined && whereFrom.codec === whereTo?.codec) {
    const { codec, stride } = whereTo;
    const first = whereTo.address + 4 * outRowStart * stride;
    return forEachPiece(numRows, hidden, (piece) => {
      forEachPlacedRun(whereFrom, rows, piece, (address, n, count) => {
        const outAt = first + 4 * ((piece.row + n) * stride + piece.channel);
        roundTo(codec, dtype, address, outAt, stride, count, piece.numChannels);
      });
    });
  }
  const own = codec();
  const { valuesAt, scalesAt, codesAt, kernels } = own;
  forEachPiece(numRows, hidden, (piece) => {
    stageValues(own, valuesAt, from, rows, piece);
    kernels[dtype].round(valuesAt, valuesAt, scalesAt, codesAt, piece.numRows, piece.numChannels);
    unstageValues(own, valuesAt, to, outRowStart, piece);
  });
}

/** Rows that lie one behind the other, to those that lie `stride` apart. */
function roundTo(
  { kernels, scalesAt, codesAt }: Codec,
  dtype: Exclude<WireDtype, 'f32'>,
  from: number,
  to: number,
  stride: number,
  numRows: number,
  channels: number,
): void {
  const { round } = kernels[dtype];
  if (stride === channels) return round(from, to, scalesAt, codesAt, numRows, channels);
  for (let row = 0; row < numRows; row++) {
    round(from + 4 * row * channels, to + 4 * row * stride, scalesAt, codesAt, 1, channels);
  }
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
