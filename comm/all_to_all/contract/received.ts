/** What a dispatch gives: the received routing, and the rows when they are asked for. N rows, K choices. */
import type { FloatRows } from '../../../base/float_rows.js';
import type { Reduce } from '../../../base/received_rows.js';
import type { DispatchHandle, DispatchResult } from './all_to_all_contract.js';
import type { DegradedTokens } from './degraded.js';
import type { PayloadShape } from './payload.js';
import type { ReceivedParts } from './received_parts.js';
import type { ArrivedBySource } from './route.js';

/** Which slots the received rows are for. */
export type ReceivedRouting = Pick<DispatchResult, 'reduce' | 'recvTopkIdx' | 'recvTopkWeights'>;

/** Of the sources in their order; `numRows`: of all. */
export function routingOfAll(
  bySource: ArrivedBySource,
  numRows: number,
  { numTopk, reduce }: PayloadShape,
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
  return { reduce, recvTopkIdx, recvTopkWeights };
}

/** The routing of one source, as views of the whole, so that a cached handle doesn't keep its frame: made when a cached dispatch asks. */
class KnownRows {
  constructor(
    readonly numRows: number,
    private readonly firstRow: number,
    private readonly routing: ReceivedRouting,
    private readonly numTopk: number,
  ) {}

  get slots(): Int32Array {
    return this.part(this.routing.recvTopkIdx);
  }

  get weights(): Float32Array {
    const { reduce, recvTopkWeights } = this.routing;
    return reduce === 'rank' ? this.part(recvTopkWeights) : recvTopkWeights;
  }

  private part<T extends Int32Array | Float32Array>(whole: T): T {
    const { firstRow, numRows, numTopk } = this;
    return whole.subarray(firstRow * numTopk, (firstRow + numRows) * numTopk) as T;
  }
}

/** By source, what a cached dispatch has to know of the rows that came; undefined where none came. */
export function knownRowsOf(
  bySource: ArrivedBySource,
  routing: ReceivedRouting,
  numTopk: number,
): (KnownRows | undefined)[] {
  let row = 0;
  return bySource.map((part) => {
    if (part === undefined) return undefined;
    const first = row;
    row += part.numRows;
    return new KnownRows(part.numRows, first, routing, numTopk);
  });
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
  readonly degraded: DegradedTokens;
  readonly copyRowsTo: (target: FloatRows) => void;
  readonly release: () => void;
  private counts: Int32Array | undefined;

  constructor(
    { reduce, recvTopkIdx, recvTopkWeights }: ReceivedRouting,
    private readonly rows: ReceivedParts,
    readonly handle: DispatchHandle,
    sent: Sent,
    private readonly countTokens: (recvTopkIdx: Int32Array) => Int32Array,
  ) {
    this.numRecvTokens = rows.numRows;
    this.reduce = reduce;
    this.recvTopkIdx = recvTopkIdx;
    this.recvTopkWeights = recvTopkWeights;
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

  /** Counted when it is asked for: most don't. */
  get numRecvTokensPerExpert(): Int32Array {
    this.counts ??= this.countTokens(this.recvTopkIdx);
    return this.counts;
  }
}

/** [slotsPerRank] choices per local slot, rounded up to a multiple of `alignment`. */
export function countPerExpert(recvTopkIdx: Int32Array, slotsPerRank: number, alignment: number): Int32Array {
  const counts = new Int32Array(slotsPerRank);
  for (let i = 0; i < recvTopkIdx.length; i++) if (recvTopkIdx[i]! >= 0) counts[recvTopkIdx[i]!]!++;
  return alignment === 1 ? counts : counts.map((count) => Math.ceil(count / alignment) * alignment);
}
