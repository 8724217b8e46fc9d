/** Rows that sums are made of, wherever they lie: each piece is staged in the codec when its turn comes. n rows of H channels. */
import type { FloatRows } from '../../base/float_rows.js';
import { codec } from './codec.js';
import { decodePiece, type WireDtype } from './wire_dtype.js';
import { stageValues, strided, type Piece } from './wire_staging.js';

/** Rows of floats, to be read in this turn. */
export interface RowSource {
  /** Puts a piece's floats at address `at` of the codec, where a group more than the piece has room. */
  stage(piece: Piece, at: number): void;
}

/** This rank's own rows, rounded as if they had travelled. */
export function ownRows(dtype: WireDtype, rows: FloatRows): RowSource {
  const x = strided(rows, rows.hidden);
  const { scalesAt, codesAt, kernels } = codec();
  return {
    stage: (piece, at) => {
      stageValues(at, x, null, piece);
      if (dtype !== 'f32') kernels[dtype].round(at, scalesAt, codesAt, piece.numRows, piece.numChannels);
    },
  };
}

/** Rows that came, in their wire dtype; 4-byte aligned where they are float32. */
export function travelledRows(dtype: WireDtype, wire: Uint8Array, numRows: number, hidden: number): RowSource {
  if (dtype === 'f32') {
    const x = { cells: new Float32Array(wire.buffer, wire.byteOffset, numRows * hidden), stride: hidden };
    return { stage: (piece, at) => stageValues(at, x, null, piece) };
  }
  return { stage: (piece, at) => decodePiece(dtype, wire, numRows, hidden, piece, at) };
}
