/** The tokens of one rank, and experts that return what they get: so the combined rows must be the dispatched ones. */
import type { AllToAll, DispatchResult, RoutedRequest, StepTag } from '../../../comm/index.js';
import type { FloatRows } from '../../../base/float_rows.js';
import { uniform } from '../../../base/philox.js';
import { KernelMemory } from '../../../compute/wasm/memory/kernel_memory.js';
import { KernelRows } from '../../../compute/wasm/memory/kernel_rows.js';
import type { Workload } from '../base/orders.js';
import type { Routing } from './routing.js';

const DATA_STREAMS_FROM = 0x20000;
/** Fresh random numbers; the rest of `x` repeats them, since making them all would take longer than the benchmark. */
const PERIOD = 65_521;

/** Random tokens [T·H] in [−0.5, 0.5), different on each rank, with the routing that they are sent by; all rows lie where kernels have theirs. */
export class TokenBatch {
  /** [T·K] */
  readonly topkIdx: Int32Array;
  readonly request: Omit<RoutedRequest, 'tag'>;
  /** Where combined rows go. */
  readonly y: FloatRows;
  /** Where all rows lie. */
  readonly memory = new KernelMemory();
  private readonly x: KernelRows;
  private received: KernelRows;
  private expertOut: KernelRows;

  constructor({ tokens, hidden, seed }: Workload, { topkIdx, topkWeights }: Routing, rank: number) {
    const fresh = Float32Array.from({ length: PERIOD }, (_, i) => uniform(seed, DATA_STREAMS_FROM + rank, i) - 0.5);
    this.x = this.rows(tokens, hidden);
    this.y = this.rows(tokens, hidden);
    this.received = this.expertOut = this.rows(0, hidden);
    const x = this.x.view();
    for (let at = 0; at < x.length; at += PERIOD) x.set(fresh.subarray(0, Math.min(PERIOD, x.length - at)), at);
    this.topkIdx = topkIdx;
    this.request = { x: this.x, isLent: true, topkIdx, topkWeights };
  }

  /** Copies the rows that came to where experts read them, as kernels do; they are overwritten by the next call. */
  receive(result: DispatchResult): void {
    const { numRecvTokens } = result;
    if (this.received.numRows !== numRecvTokens) {
      this.received = this.rows(numRecvTokens, this.x.hidden);
      this.expertOut = this.rows(numRecvTokens, this.x.hidden);
    }
    result.copyRowsTo(this.received);
  }

  /** What {@link runExperts} gave last. */
  get expertRows(): FloatRows {
    return this.expertOut;
  }

  /** Each received row times the sum of its weights here. The result is overwritten by the next call. */
  runExperts({ numRecvTokens, recvTopkWeights }: DispatchResult): FloatRows {
    const { hidden } = this.x;
    const [received, expertOut] = [this.received.view(), this.expertOut.view()];
    const numTopk = recvTopkWeights.length / Math.max(1, numRecvTokens);
    for (let row = 0; row < numRecvTokens; row++) {
      let weight = 0;
      for (let k = 0; k < numTopk; k++) weight += recvTopkWeights[row * numTopk + k]!;
      const end = (row + 1) * hidden;
      for (let i = row * hidden; i < end; i++) expertOut[i] = weight * received[i]!;
    }
    return this.expertOut;
  }

  private rows(numRows: number, hidden: number): KernelRows {
    return new KernelRows(this.memory, this.memory.allocate(4 * numRows * hidden), numRows, hidden);
  }

  /** @throws Error when the combined rows aren't the dispatched ones, within `tolerance`. */
  check(tolerance: number): void {
    const [x, y] = [this.x.view(), this.y.view()];
    for (let i = 0; i < x.length; i++) {
      if (Math.abs(y[i]! - x[i]!) <= tolerance) continue;
      throw new Error(`token ${Math.floor(i / this.x.hidden)} came back as ${y[i]!} instead of ${x[i]!}; report this`);
    }
  }
}

/** Rows to where the experts are: until they lie where those read them. */
export async function dispatchRows(allToAll: AllToAll, batch: TokenBatch, tag: StepTag): Promise<DispatchResult> {
  const received = await allToAll.dispatch({ ...batch.request, tag });
  batch.receive(received);
  return received;
}

/** Rows back, until their sums lie where they are wanted. */
export const combineRows = (
  allToAll: AllToAll,
  batch: TokenBatch,
  out: FloatRows,
  from: DispatchResult,
): Promise<void> => allToAll.startCombine(out, from.handle, batch.y).hook();
