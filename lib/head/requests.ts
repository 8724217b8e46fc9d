/** The requests that run: each a sequence of the scheduler, and somebody who takes what steps make of it. */
import type { EpochChange, StepRunner } from '../job/step_runner.js';
import { EngineError } from '../protocol/errors.js';
import type { StepPlan, StepResult } from '../protocol/step_plan.js';
import type { ScheduledPlan, Scheduler, SequenceRequest } from './scheduling/scheduler.js';
import type { Sequence } from './sequence.js';

/** Who computes and who waits; it never waits for a step itself. */
export class Requests {
  /** Who takes what, and the positions whose tokens lost an expert, by sequence. */
  private readonly running = new Map<number, { readonly taker: Sequence; readonly degraded: Set<number> }>();
  /** Lost ranks, each with why. */
  private readonly lost = new Map<number, EngineError>();
  private failure: Error | null = null;

  constructor(
    private readonly scheduler: Scheduler,
    private readonly job: Pick<StepRunner, 'free'>,
  ) {}

  /**
   * Queues a request. When `signal` is aborted it ends at once, with CLOSED, also where nobody asks for its next event. Returns how its caller
   * gives it up, or says that it is over. Throws what {@link fail} was told.
   */
  add(request: SequenceRequest, taker: Sequence, signal: AbortSignal | undefined): () => void {
    if (this.failure !== null) throw this.failure;
    const { sequence } = request;
    this.running.set(sequence, { taker, degraded: new Set() });
    this.scheduler.add(request);
    const onAbort = (): void =>
      this.failOne(sequence, new EngineError('CLOSED', 'the request was cancelled by its caller'));
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted === true) onAbort();
    return () => {
      signal?.removeEventListener('abort', onAbort);
      this.end(sequence);
    };
  }

  /** What every rank computes in the next step; null when there is nothing to compute. */
  next(): ScheduledPlan[] | null {
    const plans = this.scheduler.next();
    this.free(); // of sequences that gave way to what is planned
    return plans;
  }

  /** Every rank that is left finished the step: its tokens count. */
  async commit(plans: readonly StepPlan[], results: readonly (StepResult | null)[]): Promise<void> {
    for (const [rank, plan] of plans.entries()) {
      const { outputs } = results[rank] ?? NO_RESULT;
      this.scheduler.commit(plan, outputs);
      for (const [i, output] of outputs.entries()) {
        const running = this.running.get(output.sequence);
        if (running === undefined) continue; // given up while the step ran
        const { taker, degraded } = running;
        for (const position of output.degraded ?? []) degraded.add(position);
        if (plan.parts[i]!.isReplay) continue;
        try {
          if (await taker.take(plan.parts[i]!, output, degraded.size)) this.end(output.sequence);
        } catch (error) {
          // Its caller's: onLogits.
          this.failOne(output.sequence, errorFrom(error));
        }
      }
    }
  }

  /** Ranks were lost: what they computed for is queued again, unless it may be what breaks them. Returns how many are, and how many failed. */
  lose({ epoch, lost }: EpochChange): { readonly numRecomputed: number; readonly numFailed: number } {
    for (const { rank, error } of lost) this.lost.set(rank, error);
    const ranks = lost.map(({ rank }) => rank);
    // A process that was killed, or a link that was cut, says nothing against what the rank computed.
    const failedRanks = lost.filter(({ error }) => error.code !== 'RANK_LOST').map(({ rank }) => rank);
    const { numRequeued, failed } = this.scheduler.lose(ranks, epoch, failedRanks);
    for (const { sequence, ranks: broken } of failed) this.failOne(sequence, this.brokenBy(broken));
    return { numRecomputed: numRequeued, numFailed: failed.length };
  }

  /** Ends all requests, and refuses later ones, with the first error that this is told. */
  fail(error: Error): void {
    this.failure ??= error;
    for (const [sequence, { taker }] of this.running) {
      taker.fail(this.failure);
      this.scheduler.finish(sequence);
    }
    this.running.clear();
  }

  /** Forgets a sequence, whether it finished, failed or was given up; its rank frees what nobody else holds. */
  private end(sequence: number): void {
    this.running.delete(sequence);
    this.scheduler.finish(sequence);
    this.free();
  }

  /** Ranks forget what the scheduler took back. */
  private free(): void {
    if (this.failure !== null) return;
    for (const { rank, ...freed } of this.scheduler.takeFreed()) this.job.free(rank, freed);
  }

  /** Fails one request; the others go on. */
  private failOne(sequence: number, error: Error): void {
    this.running.get(sequence)?.taker.fail(error);
    this.end(sequence);
  }

  private brokenBy(ranks: readonly number[]): EngineError {
    const reasons = [...new Set(ranks.map((rank) => this.lost.get(rank)!.reason))].join(', and ');
    const text =
      `two ranks were lost while they computed this request: ${reasons}; the others go on without it: change it, ` +
      'or, where it took too long, raise comm.timeout_ms or lower engine.max_num_batched_tokens';
    const last = ranks.at(-1)!;
    return new EngineError('RANK_FAILED', text, { rank: last, cause: this.lost.get(last) });
  }
}

/** Of a rank that was lost before the step: its plan is empty too. */
const NO_RESULT: Pick<StepResult, 'outputs'> = { outputs: [] };

/** What was thrown, as an error. */
export const errorFrom = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
