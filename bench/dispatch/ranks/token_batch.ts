/** The tokens of one rank, and experts that return what they get: so the combined rows must be the dispatched ones. */
import type { AllToAll, DispatchResult, RoutedRequest, StepTag } from '../../../comm/index.js';
import { uniform } from '../../../base/philox.js';
import type { Workload } from '../base/orders.js';
import type { Routing } from './routing.js';

const DATA_STREAMS_FROM = 0x20000;
/** Fresh random numbers; the rest of `x` repeats them, since making them all would take longer than the benchmark. */
const PERIOD = 65_521;

/** Random tokens [T·H] in [−0.5, 0.5), different on each rank, with the routing that they are sent by. */
export class TokenBatch {
  /** [T·K] */
  readonly topkIdx: Int32Array;
  readonly request: Omit<RoutedRequest, 'tag' | 'x'> & { readonly x: Float32Array };
  private readonly hidden: number;
  private expertOut = new Float32Array(0);

  constructor({ tokens, hidden, seed }: Workload, { topkIdx, topkWeights }: Routing, rank: number) {
    const fresh = Float32Array.from({ length: PERIOD }, (_, i) => uniform(seed, DATA_STREAMS_FROM + rank, i) - 0.5);
    const x = new Float32Array(tokens * hidden);
    for (let at = 0; at < x.length; at += PERIOD) x.set(fresh.subarray(0, Math.min(PERIOD, x.length - at)), at);
    this.topkIdx = topkIdx;
    this.hidden = hidden;
    this.request = { x, topkIdx, topkWeights };
  }

  /** Each row times the sum of its weights here. The result is overwritten by the next call. */
  runExperts({ numRecvTokens, recvX, recvTopkWeights }: DispatchResult): Float32Array {
    const hidden = this.hidden;
    if (this.expertOut.length !== numRecvTokens * hidden) this.expertOut = new Float32Array(numRecvTokens * hidden);
    const numTopk = recvTopkWeights.length / Math.max(1, numRecvTokens);
    for (let row = 0; row < numRecvTokens; row++) {
      let weight = 0;
      for (let k = 0; k < numTopk; k++) weight += recvTopkWeights[row * numTopk + k]!;
      const end = (row + 1) * hidden;
      for (let i = row * hidden; i < end; i++) this.expertOut[i] = weight * recvX[i]!;
    }
    return this.expertOut;
  }

  /** @throws Error when the combined rows aren't the dispatched ones, within `tolerance`. */
  check(y: Float32Array, tolerance: number): void {
    const { x } = this.request;
    for (let i = 0; i < x.length; i++) {
      if (Math.abs(y[i]! - x[i]!) <= tolerance) continue;
      throw new Error(`token ${Math.floor(i / this.hidden)} came back as ${y[i]!} instead of ${x[i]!}; report this`);
    }
  }
}

/** Tokens to the experts and back. */
export async function roundTrip(allToAll: AllToAll, batch: TokenBatch, tag: StepTag): Promise<Float32Array> {
  const received = await allToAll.dispatch({ ...batch.request, tag });
  const expertOut = batch.runExperts(received);
  received.release();
  return allToAll.combine(expertOut, received.handle);
}
