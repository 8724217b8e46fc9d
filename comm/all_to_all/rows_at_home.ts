/** Rows of a rank without peers: they stay where they are, rounded as if they had travelled. T tokens, H channels, K choices per token. */
import { asRows, floatRows, type FloatRows } from '../../base/float_rows.js';
import type { Rank } from '../../base/ids.js';
import { RowsInPlace, type ReceivedRows, type Reduce } from '../../base/received_rows.js';
import { ownRows } from '../codec/row_source.js';
import { roundTripRows, type WireForm } from '../codec/wire_dtype.js';
import type { RowsAtHome } from './contract/all_to_all_contract.js';
import { sumChoices } from './contract/combine_sum.js';
import type { RouteShape } from './contract/route.js';
import type { ExchangeStats } from './exchange/exchange_stats.js';

/** What is left of a dispatch and its combine: roundings, the sums of `reduce: 'source'`, and what is counted. */
export class LoneRank implements RowsAtHome {
  constructor(
    private readonly stats: ExchangeStats,
    private readonly rank: Rank,
    private readonly shape: RouteShape,
  ) {}

  /** In place where the wire is f32. */
  dispatch(layer: number, x: FloatRows, topkIdx: Int32Array, topkWeights: Float32Array): ReceivedRows {
    const { reduce, dispatchDtype } = this.shape;
    this.count(layer, topkIdx);
    const weights = reduce === 'rank' ? topkWeights : NO_WEIGHTS;
    if (dispatchDtype === 'f32') return new RowsInPlace(x, topkIdx, weights, reduce);
    return new RoundedRows(dispatchDtype, x, topkIdx, weights, reduce);
  }

  /** With 'rank' and f32 the experts' rows themselves. */
  combine(
    expertOut: Float32Array | FloatRows,
    topkIdx: Int32Array,
    topkWeights: Float32Array,
    room: () => FloatRows,
  ): FloatRows {
    const { reduce, hidden, numTopk, slotsPerRank, combineDtype } = this.shape;
    const rows = asRows(expertOut, hidden);
    if (reduce === 'rank' && combineDtype === 'f32') return rows;
    const y = room();
    if (reduce === 'rank') roundTripRows(combineDtype, rows, null, rows.numRows, hidden, y, 0);
    else sumChoices([ownRows(combineDtype, rows)], { topkIdx, topkWeights, numTopk, slotsPerRank }, y);
    return y;
  }

  /** Rows that stay, of no bytes, both ways. */
  private count(layer: number, topkIdx: Int32Array): void {
    const { reduce, numTopk } = this.shape;
    let tokens = 0;
    let numChoices = 0;
    let last = -1;
    for (let i = 0; i < topkIdx.length; i++) {
      if (topkIdx[i]! < 0) continue;
      numChoices++;
      const token = Math.floor(i / numTopk);
      if (token !== last) tokens++;
      last = token;
    }
    const rows = reduce === 'rank' ? tokens : numChoices;
    this.stats.sent('dispatch', layer, this.rank, tokens, tokens, 0);
    this.stats.sent('combine', layer, this.rank, tokens, rows, 0);
  }
}

const NO_WEIGHTS = new Float32Array(0);

/** Rows that are rounded when they are copied to where they are wanted. */
class RoundedRows implements ReceivedRows {
  readonly numRecvTokens: number;

  constructor(
    private readonly dtype: WireForm,
    private readonly x: FloatRows,
    readonly recvTopkIdx: Int32Array,
    readonly recvTopkWeights: Float32Array,
    readonly reduce: Reduce,
  ) {
    this.numRecvTokens = x.numRows;
  }

  /** Made at each call. */
  get recvX(): Float32Array {
    const { numRows, hidden } = this.x;
    const floats = new Float32Array(numRows * hidden);
    this.copyRowsTo(floatRows(floats, hidden));
    return floats;
  }

  readonly copyRowsTo = (target: FloatRows): void => {
    const { dtype, x } = this;
    roundTripRows(dtype, x, null, x.numRows, x.hidden, target, 0);
  };
}
