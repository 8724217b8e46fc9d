/** Orders to scale a job, one after the other, from their beginning to their end. */
import { causeText } from '../../../base/foreign_text.js';
import { EngineError } from '../../protocol/errors.js';
import type { MovedCounts, OnScale, ScaleCause, Scaled, ScalingStats } from './scale_events.js';

/** What an order came to so far. */
export interface Tally {
  readonly joined: number[];
  readonly left: number[];
  /** Until the first epoch with as many ranks as wanted; null: not yet. */
  firstMs: number | null;
}

/** Somebody wants more ranks, or fewer. */
interface ScaleOrder {
  readonly cause: ScaleCause;
  /** How many there are to be, of so many that there are when its turn comes. */
  readonly wanted: (numRanks: number) => number;
  /** Gives it up. Default: nobody does. */
  readonly signal?: AbortSignal | undefined;
  /** Does it. `sinceMs`: the time since it began. */
  readonly carryOut: (wanted: number, tally: Tally, signal: AbortSignal, sinceMs: () => number) => Promise<void>;
}

/** Carries them out, counts, and tells. */
export class ScaleOrders {
  private readonly figures = { numScaled: 0, numFailed: 0, lastError: null as string | null };
  private running: AbortController | null = null;
  private cause: ScaleCause | null = null;
  private last: Promise<unknown> = Promise.resolve();
  private numOrders = 0;
  private ended: Error | null = null;

  /** `numRanks`: that are there and stay; `moved`: so far. */
  constructor(
    private readonly numRanks: () => number,
    private readonly moved: () => MovedCounts,
    private readonly onScale: OnScale,
  ) {}

  /** Some order is carried out, or waits for its turn. */
  get isBusy(): boolean {
    return this.numOrders > 0;
  }

  /** Why no order is carried out any more; null: orders are. */
  get failure(): Error | null {
    return this.ended;
  }

  /** Begins when what was ordered earlier is over. @throws EngineError SCALE_FAILED: why; {@link failure} */
  async take(order: ScaleOrder): Promise<Scaled> {
    this.numOrders++;
    const turn = this.last.then(() => this.begin(order));
    this.last = turn.catch(() => undefined);
    return turn.finally(() => this.numOrders--);
  }

  /** What is carried out, where that is of such a cause. Later ones go on. */
  giveUp(isSuch: (cause: ScaleCause) => boolean): void {
    if (this.cause !== null && isSuch(this.cause)) this.running?.abort();
  }

  /** What is carried out is given up, and so are later ones. */
  fail(error: Error): void {
    this.ended ??= error;
    this.running?.abort();
  }

  /** What became of them. */
  stats(): Pick<ScalingStats, 'isScaling' | 'numScaled' | 'numFailed' | 'lastError'> {
    return { isScaling: this.isBusy, ...this.figures };
  }

  private async begin({ cause, wanted: wantedOf, signal, carryOut }: ScaleOrder): Promise<Scaled> {
    if (this.ended !== null) throw this.ended;
    const before = this.numRanks();
    const wanted = wantedOf(before);
    const startMs = performance.now();
    const sinceMs = (): number => performance.now() - startMs;
    const tally: Tally = { joined: [], left: [], firstMs: null };
    const movedBefore = this.moved();
    this.running = new AbortController();
    this.cause = cause;
    const own = signal === undefined ? this.running.signal : AbortSignal.any([signal, this.running.signal]);
    try {
      this.onScale({ kind: 'begun', before, wanted, cause });
      await carryOut(wanted, tally, own, sinceMs);
      const moved = difference(this.moved(), movedBefore);
      const scaled: Scaled = { before, after: this.numRanks(), ...tally, ...moved, ms: sinceMs() };
      if (scaled.joined.length + scaled.left.length > 0) this.figures.numScaled++;
      this.onScale({ kind: 'done', cause, ...scaled });
      return scaled;
    } catch (thrown) {
      throw this.failed(thrown, before, cause);
    } finally {
      this.running = null;
      this.cause = null;
    }
  }

  private failed(thrown: unknown, before: number, cause: ScaleCause): Error {
    if (this.ended !== null) return this.ended;
    const after = this.numRanks();
    const text = `the job goes on with ${after} ${after === 1 ? 'rank' : 'ranks'} (${whyOf(thrown)})`;
    const error = new EngineError('SCALE_FAILED', text, { cause: thrown });
    this.figures.numFailed++;
    this.figures.lastError = error.message;
    this.onScale({ kind: 'failed', before, after, cause, error });
    return error;
  }
}

/** Of what was given up, who gave it up knows more. */
function whyOf(thrown: unknown): string {
  const { name } = (thrown ?? {}) as { readonly name?: string };
  if (name === 'TimeoutError') return 'it took longer than it may; give it more time';
  return name === 'AbortError' ? 'it was given up' : causeText(thrown);
}

const difference = (after: MovedCounts, before: MovedCounts): MovedCounts => ({
  numMovedExperts: after.numMovedExperts - before.numMovedExperts,
  numMovedSequences: after.numMovedSequences - before.numMovedSequences,
  numRecomputed: after.numRecomputed - before.numRecomputed,
});
