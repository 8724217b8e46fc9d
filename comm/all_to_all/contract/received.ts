/** What a dispatch gives: the received routing, and the rows when they are asked for. N rows, K choices. */
import type { FloatRows } from '../../../base/float_rows.js';
import type { Reduce } from '../../../base/received_rows.js';
import type { DispatchHandle, DispatchResult } from './all_to_all_contract.js';
import type { DegradedTokens } from './degraded.js';
import type { PayloadShape } from './payload.js';
import type { ReceivedParts } from './received_parts.js';
import type { ArrivedBySource } from './route.js';

/** Which slots the received rows are for. */
export type ReceivedRouting = Pick<
  DispatchResult,
  'reduce' | 'recvTopkIdx' | 'recvTopkWeights' | 'numRecvTokensPerExpert'
>;

/** Of the sources in their order; `numRows`: of all. */
export function routingOfAll(
  bySource: ArrivedBySource,
  numRows: number,
  { numTopk, slotsPerRank, reduce }: PayloadShape,
  expertAlignment: number,
): ReceivedRouting {
  const recvTopkIdx = new Int32Array(numRows * numTopk);
  const recvTopkWeights = new Float32Array(reduce === 'rank' ? numRows * numTopk : 0);
  let row = 0;
  for (const part of bySource) {
    if (part === undefined) continue;
    recvTopkIdx.set(part.slots, row * numTopk);
    if (reduce === 'rank') recvTopkWeights.set(part.weights, row * numTopk);
    row += part.numRows;
  }
  const numRecvTokensPerExpert = countPerExpert(recvTopkIdx, slotsPerRank, expertAlignment);
  return { reduce, recvTopkIdx, recvTopkWeights, numRecvTokensPerExpert };
}

/** What the all-to-all remembers of a dispatch and its result changes. */
interface Sent {
  readonly degraded: DegradedTokens;
  readonly isLent: boolean;
  rows: ReceivedParts | undefined;
}

/** The result. A class, since an object literal with a getter is slow to make. */
export class Received implements DispatchResult {
  readonly numRecvTokens: number;
  readonly reduce: Reduce;
  readonly recvTopkIdx: Int32Array;
  readonly recvTopkWeights: Float32Array;
  readonly numRecvTokensPerExpert: Int32Array;
  readonly degraded: DegradedTokens;
  readonly copyRowsTo: (target: FloatRows) => void;
  readonly release: () => void;

  constructor(
    { reduce, recvTopkIdx, recvTopkWeights, numRecvTokensPerExpert }: ReceivedRouting,
    private readonly rows: ReceivedParts,
    readonly handle: DispatchHandle,
    sent: Sent,
  ) {
    this.numRecvTokens = rows.numRows;
    this.reduce = reduce;
    this.recvTopkIdx = recvTopkIdx;
    this.recvTopkWeights = recvTopkWeights;
    this.numRecvTokensPerExpert = numRecvTokensPerExpert;
    this.degraded = sent.degraded;
    this.copyRowsTo = (target) => rows.copyTo(target);
    this.release = () => {
      rows.release(sent.isLent);
      sent.rows = undefined;
    };
  }

  get recvX(): Float32Array {
    return this.rows.floats();
  }
}

function countPerExpert(recvTopkIdx: Int32Array, slotsPerRank: number, alignment: number): Int32Array {
  const counts = new Int32Array(slotsPerRank);
  for (let i = 0; i < recvTopkIdx.length; i++) if (recvTopkIdx[i]! >= 0) counts[recvTopkIdx[i]!]!++;
  return alignment === 1 ? counts : counts.map((count) => Math.ceil(count / alignment) * alignment);
}
