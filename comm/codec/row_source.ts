/** Rows that sums are made of, wherever they lie: each piece is found in the codec's memory, or staged there, when its turn comes. n rows of H channels. */
import type { FloatRows } from '../../base/float_rows.js';
import type { Codec } from './codec.js';
import { decodePieceTo, type WireForm } from './wire_dtype.js';
import { placed, stageValues, strided, type Piece, type Placed, type Strided } from './wire_staging.js';

/** Rows of floats, to be read in this turn. */
export interface RowSource {
  /** Puts a piece's floats at address `at` of the codec, where a group more than the piece has room unless rows are of whole vectors. */
  stage(codec: Codec, piece: Piece, at: number): void;
  /** Where a piece's floats lie one row behind the other in the codec's memory: as they are, or staged among its values. */
  find(codec: Codec, piece: Piece): number;
}

/** This rank's own rows, rounded as if they had travelled. */
export function ownRows(dtype: WireForm, rows: FloatRows): RowSource {
  const [x, place] = [strided(rows, rows.hidden), placed(rows)];
  if (typeof dtype !== 'string')
    return new StagedRows((codec, piece, at) => dtype.roundPiece(x, piece, floatsFrom(codec, at)));
  if (dtype === 'f32') return new PlainRows(x, place);
  return new StagedRows((codec, piece, at) => {
    const { kernels, scalesAt, codesAt } = codec;
    const address = addressOf(place, codec, piece);
    if (address === undefined) stageValues(codec, at, x, null, piece);
    kernels[dtype].round(address ?? at, at, scalesAt, codesAt, piece.numRows, piece.numChannels);
  });
}

/** Rows that came, in their wire dtype; 4-byte aligned where they are float32. */
export function travelledRows(dtype: WireForm, wire: Uint8Array, numRows: number, hidden: number): RowSource {
  if (typeof dtype !== 'string') {
    return new StagedRows((codec, piece, at) => dtype.decodePiece(wire, piece, floatsFrom(codec, at)));
  }
  if (dtype === 'f32') {
    const cells = new Float32Array(wire.buffer, wire.byteOffset, numRows * hidden);
    return new PlainRows({ cells, stride: hidden }, undefined);
  }
  const rows = { dtype, wire, numRows, hidden };
  return new StagedRows((codec, piece, at) => decodePieceTo(codec, rows, piece, at));
}

/** Floats as they are. */
class PlainRows implements RowSource {
  constructor(
    private readonly x: Strided,
    private readonly place: Placed | undefined,
  ) {}

  stage(codec: Codec, piece: Piece, at: number): void {
    const address = addressOf(this.place, codec, piece);
    if (address === undefined) stageValues(codec, at, this.x, null, piece);
    else codec.copyRow(at, address, piece.numRows * piece.numChannels);
  }

  find(codec: Codec, piece: Piece): number {
    const address = addressOf(this.place, codec, piece);
    if (address === undefined) stageValues(codec, codec.valuesAt, this.x, null, piece);
    return address ?? codec.valuesAt;
  }
}

/** What floats must be made of first. */
class StagedRows implements RowSource {
  constructor(readonly stage: RowSource['stage']) {}

  find(codec: Codec, piece: Piece): number {
    this.stage(codec, piece, codec.valuesAt);
    return codec.valuesAt;
  }
}

/** Where a piece lies in the codec's memory, one row behind the other; undefined where it doesn't. */
function addressOf(place: Placed | undefined, codec: Codec, piece: Piece): number | undefined {
  const isHere = place?.codec === codec && (piece.numRows === 1 || place.stride === piece.numChannels);
  return isHere ? place.address + 4 * (piece.row * place.stride + piece.channel) : undefined;
}

const floatsFrom = ({ floats }: Codec, at: number): Float32Array => floats.subarray(at / 4);
