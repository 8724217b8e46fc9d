/** An engine without ranks: a test plays its steps and what becomes of requests; its statistics and watchers are the real ones. */
import { noArrivals, type ArrivalCounts } from '../../../lib/head/handover/arrival_counts.js';
import { noPoolCounts, type PoolCounts } from '../../../lib/head/kv/pool_counts.js';
import { STEP_PHASES, type StepPhase } from '../../../compute/base/stopwatch.js';
import { LoadWindow } from '../../../experts/load/load_window.js';
import { createPlacement, type Placement } from '../../../experts/placement/placement.js';
import type { EngineStats } from '../../../lib/head/engine.js';
import type { EpochChange } from '../../../lib/job/step_runner.js';
import { firstMembers } from '../../../lib/job/members.js';
import type { ScalingStats } from '../../../lib/head/elastic/scale_events.js';
import type { RequestNews } from '../../../lib/head/observing/request_news.js';
import { StatsCollector } from '../../../lib/head/observing/stats.js';
import { observedStep } from '../../../lib/head/observing/step_observer.js';
import type { AskedRebalance, RebalanceStats } from '../../../lib/head/rebalancing/rebalance_stats.js';
import type { RankSpeed } from '../../../lib/head/speeds/speed_events.js';
import type { SchedulerCounts, SchedulerLoad } from '../../../lib/head/scheduling/scheduler.js';
import { Watchers } from '../../../lib/head/watchers.js';
import type { LoadReport, PlanPart, RankStats, StepPlan, StepResult } from '../../../lib/protocol/step_plan.js';
import type { ModelSpec } from '../../../lib/model/spec/spec.js';
import type { ServedEngine } from '../../../lib/server/base/served_engine.js';
import { specOf } from '../server/staged_engine.js';
import type { TelemetrySource } from '../../../lib/server/telemetry/telemetry_source.js';

/** What one rank computes in a step. */
export interface PlayedPart {
  readonly sequence: number;
  readonly numTokens: number;
  readonly isPrompt: boolean;
  /** Whether a token comes of it. Default: yes. */
  readonly samples?: boolean;
}

const REPORT = { backend: 'wasm', residence: { compute: 'kernels', experts: 'bf16', dense: 'auto' } } as LoadReport;
const LIMITS = { maxNumSeqs: 8, maxNumBatchedTokens: 64, blockSize: 16, numKvBlocks: 10 };

export class PlayedSource implements TelemetrySource, ServedEngine {
  readonly spec: ModelSpec;
  readonly tokenizer = undefined;
  readonly failure = null;
  /** Absent: it moves none. */
  rebalance?: () => Promise<AskedRebalance>;
  readonly limits = { ...LIMITS, maxModelLen: 512, maxToldBytes: 64 };
  readonly placement: Placement;
  readonly watchers = new Watchers();
  load: SchedulerLoad;
  counts: SchedulerCounts = {
    ...{ numPreempted: 0, numSharedTokens: 0, numPrefixQueries: 0, numPrefixHits: 0, numEvictedBlocks: 0 },
    ...{ numMoved: 0, numMovedTokens: 0, numArrived: 0, numArrivedTokens: 0, numRefusedPins: 0, tiers: [] },
  };
  rebalancing: RebalanceStats | null = null;
  scaling: ScalingStats | null = null;
  speeds: readonly RankSpeed[] = [];
  arrivals: ArrivalCounts = noArrivals();
  pool: PoolCounts = noPoolCounts();
  private readonly window: LoadWindow;
  private readonly collector: StatsCollector;
  private readonly totals: { dispatchBytes: number[]; combineBytes: number[]; waitMs: number[] }[];
  private numSteps = 0;

  constructor(
    readonly numRanks = 2,
    private readonly shape = { numLayers: 2, numExperts: 4 },
  ) {
    this.spec = specOf(shape);
    this.placement = createPlacement('linear', { ...shape, numRanks });
    this.window = new LoadWindow({ ...shape, windowSize: 8 });
    const ranks = Array.from({ length: numRanks }, (_, rank) => rank);
    const members = firstMembers(ranks);
    this.collector = new StatsCollector(
      { reports: ranks.map(() => REPORT), numSeats: numRanks, members, spares: [] },
      shape,
      this.window,
    );
    const zeros = (): number[] => ranks.map(() => 0);
    this.totals = ranks.map(() => ({ dispatchBytes: zeros(), combineBytes: zeros(), waitMs: zeros() }));
    const idle = {
      numRunning: 0,
      numUsedBlocks: 0,
      numCachedBlocks: 0,
      numPinnedBlocks: 0,
      tiers: [],
      numPrefillTokens: 0,
    };
    this.load = {
      numWaiting: 0,
      ranks: ranks.map((rank) => ({ rank, numKvBlocks: LIMITS.numKvBlocks, ...idle })),
      imbalance: { kvUse: 1, numRunning: 1, prefillTokens: 1 },
    };
  }

  get numSeats(): number {
    return this.numRanks;
  }

  watch(observer: Parameters<Watchers['add']>[0]): () => void {
    return this.watchers.add(observer);
  }

  generate(): never {
    throw new Error('a test plays what becomes of requests');
  }

  stats(): EngineStats {
    return {
      ...this.collector.stats(),
      ...this.counts,
      rebalancing: this.rebalancing,
      scaling: this.scaling,
      speeds: this.speeds,
      arrivals: this.arrivals,
      pool: this.pool,
    };
  }

  /** Ranks come, go or are lost. */
  enter(change: EpochChange): void {
    this.collector.enter(change);
  }

  news(...news: readonly RequestNews[]): void {
    for (const each of news) this.watchers.request(each);
  }

  /** Parts by rank. Every token goes to expert 0 of each layer, which the first rank holds; each rank sends each other 10 bytes and waits 2 ms for it. */
  step(parts: readonly (readonly PlayedPart[])[], stepMs = 4): void {
    this.numSteps++;
    const step = observedStep({
      plans: Array.from({ length: this.numRanks }, (_, rank) => this.planOf(parts[rank] ?? [])),
      results: Array.from({ length: this.numRanks }, (_, rank) => this.resultOf(rank, parts[rank] ?? [])),
      numTokens: parts.flat().reduce((sum, { numTokens }) => sum + numTokens, 0),
      stepMs,
      placement: this.placement,
    });
    this.window.push(step.load_LE);
    this.collector.observe(step);
    this.watchers.step(step);
    for (const { sequence, samples = true } of parts.flat()) {
      if (samples) this.watchers.request({ kind: 'token', sequence, tokenId: 5 });
    }
  }

  private planOf(parts: readonly PlayedPart[]): StepPlan {
    const whole = parts.map(({ sequence, numTokens, isPrompt, samples = true }): PlanPart => ({
      ...{ sequence, isPrompt, tokenIds: Array.from({ length: numTokens }, () => 1), position: 0, blocks: [] },
      ...{ sample: samples, nextPromptToken: null, isReplay: false },
    }));
    return { step: this.numSteps, epoch: 0, placementVersion: 0, begin: [], parts: whole };
  }

  private resultOf(rank: number, parts: readonly PlayedPart[]): StepResult {
    const { numLayers, numExperts } = this.shape;
    const numTokens = parts.reduce((sum, part) => sum + part.numTokens, 0);
    const load_E = Array.from({ length: numExperts }, (_, expert) => (expert === 0 ? numTokens : 0));
    const load_R = Array.from({ length: this.numRanks }, (_, each) => (each === 0 ? numTokens : 0));
    const phasesMs = Object.fromEntries(STEP_PHASES.map((phase) => [phase, phase === 'experts' ? 2 : 0]));
    return {
      step: this.numSteps,
      outputs: parts.map(({ sequence, samples = true }) => ({ sequence, tokenId: samples ? 5 : null })),
      load: Array.from({ length: numLayers }, () => load_E),
      rankLoad: Array.from({ length: numLayers }, () => load_R),
      phasesMs: phasesMs as Record<StepPhase, number>,
      stats: this.statsOf(rank),
    };
  }

  private statsOf(rank: number): RankStats {
    const totals = this.totals[rank]!;
    for (let peer = 0; peer < this.numRanks; peer++) {
      if (peer === rank) continue;
      totals.dispatchBytes[peer]! += 10;
      totals.combineBytes[peer]! += 20;
      totals.waitMs[peer]! += 2;
    }
    return {
      ...{ numTensors: 0, tensorBytes: 100, kernelBytes: 1000, numKernelCalls: 0, numKernelRuns: 0 },
      ...{ numCopies: 0, copiedBytes: 0, numKvBlocks: 0, peakRssBytes: 5000 },
      ...structuredClone(totals),
    };
  }
}
