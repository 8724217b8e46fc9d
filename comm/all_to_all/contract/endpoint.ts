/** What both modes of the all-to-all offer beside dispatch and combine: their mask, what they counted, and handles and hooks that serve once. */
import type { AllToAllStats, DispatchHandle, PeerMask, Pending, SentBytes } from './all_to_all_contract.js';
import { CommError } from '../../base/errors.js';
import type { Exchange } from '../exchange/exchange.js';
import type { StepTag } from '../../mesh/frame.js';
import type { Rank } from '../../../base/ids.js';

/** What callers get for an opaque handle: it holds what its all-to-all remembers. A WeakMap would do, but costs a garbage collection much of its time. */
class OwnHandle<Dispatched> implements DispatchHandle {
  constructor(
    readonly tag: StepTag,
    readonly owner: object,
    readonly dispatched: Dispatched,
  ) {}
}

/** `Dispatched`: what a combine has to know of its dispatch. */
export abstract class Endpoint<Dispatched extends { readonly isCombined: boolean }> implements PeerMask {
  protected numDegradedTokens = 0;

  protected constructor(protected readonly exchange: Exchange) {}

  /** The peers that are left out, ascending. */
  maskedRanks(): readonly Rank[] {
    return this.exchange.mask.ranks();
  }

  /** Leaves a peer out of every later call. @throws CommError INVALID_ARGUMENT for what is no peer. */
  maskRank(rank: Rank): void {
    this.exchange.mask.add(rank);
  }

  /** Takes a peer in again, or all of them. */
  clearMask(rank?: Rank): void {
    this.exchange.mask.delete(rank);
  }

  /** A copy of what was counted since the start. */
  stats(): AllToAllStats {
    const { mesh, stats } = this.exchange;
    return { rank: mesh.rank, traffic: stats.snapshot(), numDegradedTokens: this.numDegradedTokens };
  }

  /** Bytes by destination rank, headers and hops between nodes included. */
  sentBytes(): SentBytes {
    const { stats } = this.exchange;
    return { dispatch: stats.bytes('dispatch'), combine: stats.bytes('combine') };
  }

  /** Milliseconds waited by source rank, over all layers and phases. */
  waitedMs(): readonly number[] {
    return this.exchange.stats.waitMs();
  }

  /** A handle of what was dispatched. */
  protected handleOf(tag: StepTag, dispatched: Dispatched): DispatchHandle {
    return new OwnHandle(tag, this, dispatched);
  }

  /** What a handle stands for; undefined for one of another all-to-all. */
  protected dispatchedOf(handle: DispatchHandle): Dispatched | undefined {
    return handle instanceof OwnHandle && handle.owner === this
      ? (handle as OwnHandle<Dispatched>).dispatched
      : undefined;
  }

  /** Of a handle that serves its combine. @throws CommError INVALID_ARGUMENT when it was combined or is of another all-to-all. */
  protected uncombined(handle: DispatchHandle): Dispatched {
    const sent = this.dispatchedOf(handle);
    if (sent !== undefined && !sent.isCombined) return sent;
    const message = 'the handle was used before or is of another all-to-all; combine once per dispatch';
    throw new CommError('INVALID_ARGUMENT', message, { layer: handle.tag.layer, phase: 'combine' });
  }
}

/** A call under way: `finish` runs at the first call of the hook. @throws CommError INVALID_ARGUMENT from the hook when it is called again. */
export function pendingOf<T>(phase: 'dispatch' | 'combine', finish: () => Promise<T>): Pending<T> {
  return new PendingCall(phase, finish);
}

class PendingCall<T> implements Pending<T> {
  private isCalled = false;

  constructor(
    private readonly phase: 'dispatch' | 'combine',
    private readonly finish: () => Promise<T>,
  ) {}

  /** Passes the promise on: an async function more would cost turns of the microtask queue. */
  hook(): Promise<T> {
    const { phase } = this;
    if (this.isCalled) {
      const message = `the hook of a ${phase} was called twice; keep its first result`;
      return Promise.reject(new CommError('INVALID_ARGUMENT', message, { phase }));
    }
    this.isCalled = true;
    return this.finish();
  }
}
