/**
 * Rows as somebody else's codec has them: checked, and copied to and from arrays that are its alone. n rows of H channels, out of T rows in memory; on the wire
 * one row of b bytes behind the other.
 * Why: docs/decisions/exchange.md#codecs-of-others-see-a-row-at-a-time
 */
import { printable, shown } from '../../base/foreign_text.js';
import { isThenable } from '../../base/foreign_value.js';
import { CommError } from '../base/errors.js';
import type { WireCodec } from './wire_codec.js';
import { strided, type Piece, type Rows, type Strided } from './wire_staging.js';

/** Far more than any codec needs: a row of a wrong size is refused before memory is asked for. */
const MAX_CHANNEL_BYTES = 64;

/** Rows of H channels as one codec has them. */
export class CustomRows {
  /** b */
  private readonly numBytes: number;
  private row: Float32Array;
  private bytes: Uint8Array;

  /** @throws CommError CODEC_FAILED where it gives no size, or rows of ordinary numbers come back as others than numbers */
  constructor(
    private readonly codec: WireCodec,
    private readonly hidden: number,
  ) {
    this.numBytes = this.sizeOf(hidden);
    this.row = new Float32Array(hidden);
    this.bytes = new Uint8Array(this.numBytes);
    this.checkFinite('zeros', new Float32Array(hidden));
    this.checkFinite(
      'numbers from −2 to 2',
      Float32Array.from({ length: hidden }, (_, channel) => ((37 * channel) % 101) / 25 - 2),
    );
  }

  /** Bytes of one row on the wire. */
  rowBytes(): number {
    return this.numBytes;
  }

  /** As `encodeRows`, which checked the sizes. @throws CommError CODEC_FAILED */
  encode(x: Rows, rows: Int32Array | null, numRows: number, out: Uint8Array): void {
    const from = strided(x, this.hidden);
    for (let n = 0; n < numRows; n++) {
      this.encodeRow(from, rows === null ? n : rows[n]!);
      out.set(this.bytes, n * this.numBytes);
    }
  }

  /** As `decodeRows`, which checked the sizes. @throws CommError CODEC_FAILED */
  decode(wire: Uint8Array, numRows: number, out: Rows, outRowStart: number): void {
    const to = strided(out, this.hidden);
    for (let n = 0; n < numRows; n++) {
      this.decodeRow(wire, n);
      to.cells.set(this.row, (outRowStart + n) * to.stride);
    }
  }

  /** As `roundTripRows`, which checked the sizes. @throws CommError CODEC_FAILED */
  round(x: Rows, rows: Int32Array | null, numRows: number, out: Rows, outRowStart: number): void {
    const [from, to] = [strided(x, this.hidden), strided(out, this.hidden)];
    for (let n = 0; n < numRows; n++) {
      this.roundRow(from, rows === null ? n : rows[n]!);
      to.cells.set(this.row, (outRowStart + n) * to.stride);
    }
  }

  /** A piece of rows that came, one row behind the other, to the beginning of `to`. @throws CommError CODEC_FAILED */
  decodePiece(wire: Uint8Array, piece: Piece, to: Float32Array): void {
    this.putPiece(piece, to, (row) => this.decodeRow(wire, row));
  }

  /** Of own rows, as if they had travelled. @throws CommError CODEC_FAILED */
  roundPiece(from: Strided, piece: Piece, to: Float32Array): void {
    this.putPiece(piece, to, (row) => this.roundRow(from, row));
  }

  /** A codec knows no parts of a row: a row of several pieces is made for each. */
  private putPiece({ row, numRows, channel, numChannels }: Piece, to: Float32Array, make: (row: number) => void): void {
    for (let n = 0; n < numRows; n++) {
      make(row + n);
      to.set(this.row.subarray(channel, channel + numChannels), n * numChannels);
    }
  }

  private roundRow(from: Strided, index: number): void {
    this.encodeRow(from, index);
    this.decodeBytes();
  }

  /** Row `index` of the wire to `row`. */
  private decodeRow(wire: Uint8Array, index: number): void {
    this.bytes.set(wire.subarray(index * this.numBytes, (index + 1) * this.numBytes));
    this.decodeBytes();
  }

  /** Row `index` to `bytes`. */
  private encodeRow({ cells, stride }: Strided, index: number): void {
    const start = index * stride;
    this.row.set(cells.subarray(start, start + this.hidden));
    this.bytes.fill(0);
    this.call('encode', () => this.codec.encode(this.row, this.bytes));
    this.checkHeld('encode');
  }

  /** `bytes` to `row`. */
  private decodeBytes(): void {
    this.row.fill(0);
    this.call('decode', () => this.codec.decode(this.bytes, this.row));
    this.checkHeld('decode');
  }

  /** Whoever transfers an array to a thread takes it away. */
  private checkHeld(what: keyof WireCodec): void {
    if (this.row.length > 0 && this.bytes.length > 0) return;
    this.row = new Float32Array(this.hidden);
    this.bytes = new Uint8Array(this.numBytes);
    throw this.failure(`${what} transferred an array that it was given`, 'transfer a copy');
  }

  private sizeOf(hidden: number): number {
    const size: unknown = this.call('rowBytes', () => this.codec.rowBytes(hidden));
    const most = MAX_CHANNEL_BYTES * hidden;
    if (typeof size === 'number' && Number.isInteger(size) && size >= 1 && size <= most) return size;
    throw this.failure(`rowBytes(${hidden}) gave ${shown(size)}`, `give an integer from 1 to ${most}`);
  }

  /** What codecs get wrong first, as where all of a group is 0, is said before anything is sent. */
  private checkFinite(what: string, x: Float32Array): void {
    const out = new Float32Array(x.length);
    this.round(x, null, 1, out, 0);
    const channel = out.findIndex((value) => !Number.isFinite(value));
    if (channel < 0) return;
    const gave = `a row of ${what} came back with ${out[channel]} in channel ${channel}`;
    throw this.failure(gave, 'decode what encode wrote to numbers');
  }

  private call(what: keyof WireCodec, run: () => unknown): unknown {
    let given: unknown;
    let isLater: boolean;
    try {
      given = run();
      isLater = isThenable(given);
    } catch (cause) {
      throw this.failure(`${what} threw ${thrownText(cause)}`, 'look at its code', cause);
    }
    if (!isLater) return given;
    void Promise.resolve(given).catch(() => undefined); // nobody waits for it
    throw this.failure(`${what} gave a promise`, 'write the result before it returns');
  }

  private failure(what: string, advice: string, cause?: unknown): CommError {
    const { name = 'of the caller' } = this.codec;
    return new CommError('CODEC_FAILED', `codec ${printable(name)}: ${what}; ${advice}`, { cause });
  }
}

const MAX_THROWN_CHARS = 400;

const thrownText = (cause: unknown): string =>
  cause instanceof Error ? printable(`${cause.name}: ${cause.message}`, MAX_THROWN_CHARS) : shown(cause);
