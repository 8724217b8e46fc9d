/** What makes the ranks of an engine more or fewer: orders and the policy, over its job, experts and requests. */
import type { ExpertwireConfig } from '../../config/schema.js';
import type { EpochChange } from '../../job/step_runner.js';
import type { RequestNews } from '../observing/request_news.js';
import type { ObservedStep, StepObserver } from '../observing/step_observer.js';
import type { SchedulerLoad } from '../scheduling/scheduler_load.js';
import { causeText } from '../../../base/foreign_text.js';
import { EngineError } from '../../protocol/errors.js';
import { Elastic, type ElasticJob, type ElasticWork } from './elastic.js';
import { ElasticPolicy, type LoadSample } from './elastic_policy.js';
import { EpochGate } from './epoch_gate.js';
import type { RanksView } from './scale_plan.js';
import type { MovedCounts, OnScale, Scaled, ScalingStats } from './scale_events.js';

/** The job whose ranks come and go: it tells of an epoch before its head knows of it. */
export interface ScaledJob extends ElasticJob {
  readonly members: RanksView & { readonly epoch: number };
  /** Ranks that have started already, and wait. */
  readonly spares: readonly number[];
  /** Tells a member that asked to leave why it has to stay. */
  keep(rank: number, reason: string): void;
}

/** Whose ranks come and go. */
export interface ScalerOptions {
  readonly job: ScaledJob;
  /** Experts will be spread soon. */
  readonly prepare: () => void;
  /** Resolves when experts are where they should be among the ranks that the head knows of. */
  readonly spread: (why: string) => Promise<unknown>;
  /** So far, whoever wanted it: those that moved when a rank had just come count too. */
  readonly numMovedExperts: () => number;
  /** Resolves when nothing runs on a rank. */
  readonly drained: (rank: number, signal: AbortSignal) => Promise<void>;
  readonly load: () => SchedulerLoad;
  /** Of a rank. */
  readonly maxNumSeqs: number;
  /** Of the machine on which newcomers are started. */
  readonly numCores: number;
  readonly config: ExpertwireConfig['elastic'];
  readonly onScale: OnScale;
}

/** Of an order that nobody else gives up: a newcomer that stands still would have the policy wait for ever. */
const POLICY_TIMEOUT_MS = 600_000;

/** One of an engine whose job is elastic. */
export class Scaler implements StepObserver {
  private readonly elastic: Elastic;
  private readonly gate: EpochGate;
  /** Null: the head decides nothing by itself. */
  private readonly policy: ElasticPolicy | null;
  private isSettled = false;
  private numMoved = 0;
  private numRecomputed = 0;

  constructor(private readonly options: ScalerOptions) {
    const { job, config, prepare } = options;
    this.gate = new EpochGate(job.members.epoch);
    const onScale: OnScale = (event) => {
      if (event.kind === 'begun') prepare();
      options.onScale(event);
    };
    // Who starts takes a core's time from the steps of everybody. Why: docs/decisions/elastic.md#newcomers-start-where-there-are-cores-for-them
    const numAtOnce = (): number => Math.max(1, job.spares.length, options.numCores - job.members.present.size);
    this.elastic = new Elastic({ job: this.job(), work: this.work(), numAtOnce, onScale });
    const { enabled, max_ranks: most, ...settings } = config;
    const maxRanks = most === 'auto' ? job.numSeats : Math.min(most, job.numSeats);
    this.policy = enabled ? new ElasticPolicy({ ...settings, max_ranks: maxRanks }) : null;
  }

  /** Ranks come or go. */
  get isScaling(): boolean {
    return this.elastic.isScaling;
  }

  /** As {@link Elastic.scale}. @throws EngineError INVALID_REQUEST too where the policy would take it back */
  async scale(numRanks: number, signal?: AbortSignal): Promise<Scaled> {
    this.policy?.check(numRanks);
    const scaled = await this.elastic.scale(numRanks, { kind: 'asked' }, signal);
    this.policy?.rest(false);
    return scaled;
  }

  /** As {@link Elastic.leave}; what comes of it is told to who follows, and why it can't to the rank. */
  leave(rank: number): void {
    this.elastic.leave(rank).catch((error: unknown) => {
      const cause = error instanceof EngineError && error.cause instanceof EngineError ? error.cause : null;
      this.options.job.keep(rank, cause?.reason ?? causeText(error));
    });
  }

  /** Nothing comes or goes any more but what a caller orders: what the policy or a rank wanted is given up. Ranks that are there stay. */
  settle(): void {
    this.isSettled = true;
    this.elastic.settle();
  }

  /** Asks the policy. */
  observe({ stepMs }: ObservedStep): void {
    if (this.policy === null || this.isSettled || this.isScaling) return;
    const decision = this.policy.decide(this.elastic.numRanks, this.sampleOf(stepMs));
    if (decision === null) return;
    const rest = (hasFailed: boolean) => (): void => this.policy?.rest(hasFailed);
    const late = AbortSignal.timeout(POLICY_TIMEOUT_MS);
    void this.elastic.scale(decision.after, { kind: 'policy', ...decision }, late).then(rest(false), rest(true));
  }

  /** The head knows of an epoch: experts and requests have taken note of it. */
  enter({ epoch, lost }: EpochChange): void {
    this.gate.enter(epoch);
    if (lost.length > 0) this.elastic.lose(lost.map(({ rank }) => rank));
  }

  /** Counts sequences that move. */
  request(news: RequestNews): void {
    const { leaving } = this.options.job.members;
    if (news.kind === 'moved' && leaving.has(news.from)) this.numMoved++;
    if (news.kind === 'preempted' && leaving.has(news.rank)) this.numRecomputed++;
  }

  /** No step runs any more. */
  fail(error: Error): void {
    this.elastic.fail(error);
    this.gate.close();
  }

  /** What it did so far. */
  stats(): ScalingStats {
    return this.elastic.stats();
  }

  /** What is done is done when the head knows of it. */
  private job(): ElasticJob {
    const { job } = this.options;
    const known = (): Promise<void> => this.gate.reached(job.members.epoch);
    return {
      numSeats: job.numSeats,
      get members() {
        return job.members;
      },
      recruit: async (signal) => {
        const seat = await job.recruit(signal);
        await known();
        return seat;
      },
      setLeaving: (rank, isLeaving) => job.setLeaving(rank, isLeaving).then(known),
      retire: (rank) => job.retire(rank).finally(known),
    };
  }

  private work(): ElasticWork {
    const { spread, drained, numMovedExperts } = this.options;
    const moved = (): MovedCounts => ({
      numMovedExperts: numMovedExperts(),
      numMovedSequences: this.numMoved,
      numRecomputed: this.numRecomputed,
    });
    const givenUp = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      );
    return {
      spread: async (signal) => {
        signal.throwIfAborted();
        await Promise.race([spread('ranks come or go'), givenUp(signal)]);
      },
      drain: drained,
      get moved() {
        return moved();
      },
    };
  }

  private sampleOf(stepMs: number): LoadSample {
    const { load: loadOf, maxNumSeqs } = this.options;
    const { numWaiting, ranks } = loadOf();
    const sum = (of: (rank: SchedulerLoad['ranks'][number]) => number): number => ranks.reduce((a, b) => a + of(b), 0);
    return {
      waiting: numWaiting,
      kv_usage:
        sum(({ numUsedBlocks }) => numUsedBlocks) /
        Math.max(
          sum(({ numKvBlocks }) => numKvBlocks),
          1,
        ),
      step_ms: stepMs,
      seqUsage: sum(({ numRunning }) => numRunning) / Math.max(ranks.length * maxNumSeqs, 1),
    };
  }
}
