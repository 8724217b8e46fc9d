/** Rows of a rank without peers, or whose peers are all masked: they stay where they are, rounded as if they had travelled. T tokens, H channels, K choices per token. */
import { asRows, floatRows, type FloatRows } from '../../base/float_rows.js';
import { RowsInPlace, type ReceivedRows, type Reduce } from '../../base/received_rows.js';
import { ownRows } from '../codec/row_source.js';
import { roundTripRows, type WireForm } from '../codec/wire_dtype.js';
import type { RowsAtHome } from './contract/all_to_all_contract.js';
import { sumChoices } from './contract/combine_sum.js';
import type { RouteShape } from './contract/route.js';
import type { Exchange } from './exchange/exchange.js';

/** What is left of a dispatch and its combine: roundings, the sums of `reduce: 'source'`, and what is counted. */
export class LoneRank implements RowsAtHome {
  /** `onDegraded` is told how many tokens lost a choice, since it is a masked rank's. */
  constructor(
    private readonly exchange: Pick<Exchange, 'mesh' | 'stats'>,
    private readonly shape: RouteShape,
    private readonly onDegraded: (numTokens: number) => void,
  ) {}

  /** In place where the wire is f32. */
  dispatch(layer: number, x: FloatRows, topkIdx: Int32Array, topkWeights: Float32Array): ReceivedRows {
    const { reduce, dispatchDtype } = this.shape;
    const slots = this.slotsHere(topkIdx);
    this.count(layer, topkIdx, slots);
    const weights = reduce === 'rank' ? topkWeights : NO_WEIGHTS;
    if (dispatchDtype === 'f32') return new RowsInPlace(x, slots, weights, reduce);
    return new RoundedRows(dispatchDtype, x, slots, weights, reduce);
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
    else {
      const choices = { topkIdx: this.slotsHere(topkIdx), topkWeights, numTopk, slotsPerRank };
      sumChoices([ownRows(combineDtype, rows)], choices, y);
    }
    return y;
  }

  /** The same choices by the slots of this rank, −1 for those of other ranks: the array itself where there are no others. */
  private slotsHere(topkIdx: Int32Array): Int32Array {
    const { size, rank } = this.exchange.mesh;
    if (size === 1) return topkIdx;
    const { slotsPerRank } = this.shape;
    const first = rank * slotsPerRank;
    return topkIdx.map((slot) => (slot >= first && slot < first + slotsPerRank ? slot - first : -1));
  }

  /** Rows that stay, of no bytes, both ways. */
  private count(layer: number, topkIdx: Int32Array, slots: Int32Array): void {
    const { stats, mesh } = this.exchange;
    const { reduce, numTopk } = this.shape;
    const tokens = numTokensWith(numTopk, slots, (i) => slots[i]! >= 0);
    const rows = reduce === 'rank' ? tokens : slots.reduce((sum, slot) => sum + Number(slot >= 0), 0);
    stats.sent('dispatch', layer, mesh.rank, tokens, tokens, 0);
    stats.sent('combine', layer, mesh.rank, tokens, rows, 0);
    if (slots !== topkIdx) this.onDegraded(numTokensWith(numTopk, slots, (i) => slots[i]! < 0 && topkIdx[i]! >= 0));
  }
}

/** Of how many tokens a choice is as asked. */
function numTokensWith(numTopk: number, { length }: Int32Array, isAsked: (choice: number) => boolean): number {
  let numTokens = 0;
  let last = -1;
  for (let i = 0; i < length; i++) {
    const token = Math.floor(i / numTopk);
    if (token === last || !isAsked(i)) continue;
    last = token;
    numTokens++;
  }
  return numTokens;
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
