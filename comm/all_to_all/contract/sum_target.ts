/** Where the sums of a combine are made. T tokens, H channels. */
import type { FloatRows } from '../../../base/float_rows.js';
import { codec, type Codec } from '../../codec/codec.js';
import { placed, strided, unstageValues, type Piece, type Placed, type Strided } from '../../codec/wire_staging.js';

/** The sums of all tokens [T·H], piece by piece: where they are wanted if the codec reaches that, else among its areas, from where each piece is copied. */
export class SumTarget {
  readonly codec: Codec;
  private readonly place: Placed | undefined;
  private readonly out: Strided;

  constructor(y: FloatRows) {
    const place = placed(y);
    this.place = place?.stride === y.hidden ? place : undefined;
    this.codec = this.place?.codec ?? codec();
    this.out = strided(y, y.hidden);
  }

  /** Address of a piece's sums, one row behind the other; what is there holds until the piece is finished. */
  at({ row, channel }: Piece): number {
    const { place } = this;
    return place === undefined ? this.codec.sumsAt : place.address + 4 * (row * place.stride + channel);
  }

  /** The piece's sums are made. */
  finish(piece: Piece): void {
    if (this.place === undefined) unstageValues(this.codec, this.codec.sumsAt, this.out, 0, piece);
  }
}
