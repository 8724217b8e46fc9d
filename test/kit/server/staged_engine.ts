/** An engine without ranks or a model whose steps a test stages: what follows it sees numbers that the test knows. Shape suffixes: L MoE layers, E logical experts, R ranks. */
import { noArrivals } from '../../../lib/head/handover/arrival_counts.js';
import { noPoolCounts } from '../../../lib/head/kv/pool_counts.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { STEP_PHASES } from '../../../compute/base/stopwatch.js';
import { LoadWindow } from '../../../experts/load/load_window.js';
import { createPlacement, rankOf, type Placement } from '../../../experts/placement/placement.js';
import { withRedundancy } from '../../../experts/placement/redundancy.js';
import type { ScaleEvent } from '../../../lib/head/elastic/scale_events.js';
import type { EpochChange } from '../../../lib/job/step_runner.js';
import type { EngineStats } from '../../../lib/head/engine.js';
import type { RequestNews } from '../../../lib/head/observing/request_news.js';
import { StatsCollector } from '../../../lib/head/observing/stats.js';
import { observedStep } from '../../../lib/head/observing/step_observer.js';
import type { RebalanceEvent } from '../../../lib/head/rebalancing/rebalance_stats.js';
import type { SchedulerCounts } from '../../../lib/head/scheduling/scheduler.js';
import { loadOf, type RankUse, type SchedulerLoad } from '../../../lib/head/scheduling/scheduler_load.js';
import { firstMembers } from '../../../lib/job/members.js';
import { epochOf } from '../engine/epochs.js';
import type { Loss } from '../../../lib/head/step_loop.js';
import { Watchers, type EngineObserver } from '../../../lib/head/watchers.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { FULL_ATTENTION, type ModelSpec } from '../../../lib/model/spec/spec.js';
import type { LoadReport, PlanPart, StepPlan, StepResult } from '../../../lib/protocol/step_plan.js';
import type { GenerationRequest, TokenEvent } from '../../../lib/protocol/request.js';
import type { ServedEngine } from '../../../lib/server/base/served_engine.js';
import type { Tokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { repoRoot } from '../paths.js';
import { playText, type Play } from './played_engine.js';

export interface StagedShape {
  readonly numLayers: number;
  readonly numExperts: number;
  readonly numRanks: number;
  /** Further copies of experts, per layer. Default 0. */
  readonly numRedundant?: number;
}

/** What becomes of requests, which steps know nothing of. */
export interface StagedRequests {
  readonly play: Play;
  readonly tokenizer: Tokenizer;
}

/** What a step does on each rank; what is absent is nothing. */
export interface StagedStep {
  readonly stepMs?: number;
  readonly prefill_R?: readonly number[];
  readonly decode_R?: readonly number[];
  readonly admitted_R?: readonly number[];
  /** Tokens per layer and expert. */
  readonly load_LE?: readonly (readonly number[])[];
  /** Bytes that cross from each rank to each other, in dispatch; half as many come back. */
  readonly bytes?: number;
}

const REPORT = { backend: 'wasm', residence: { compute: 'kernels', experts: 'bf16', dense: 'auto' } } as LoadReport;

/** Of the demo model, with other numbers of layers and experts. */
export function specOf({ numLayers, numExperts }: Pick<StagedShape, 'numLayers' | 'numExperts'>): ModelSpec {
  const text = readFileSync(join(repoRoot(), 'models/moe-7m/config.json'), 'utf8');
  const spec = modelSpecOf(JSON.parse(text) as Record<string, unknown>);
  const layers = [
    { kind: 'dense', intermediateSize: 1, mixer: FULL_ATTENTION } as const,
    ...Array<ModelSpec['layers'][number]>(numLayers).fill({ kind: 'moe', mixer: FULL_ATTENTION }),
  ];
  return { ...spec, layers, moe: { ...spec.moe, gate: { ...spec.moe.gate, numExperts } } };
}

export class StagedEngine implements ServedEngine {
  readonly spec: ModelSpec;
  readonly limits = {
    ...{ maxNumSeqs: 64, maxNumBatchedTokens: 512, blockSize: 16, numKvBlocks: 1000 },
    ...{ maxModelLen: 512, maxToldBytes: 1024 },
  };
  readonly failure = null;
  readonly tokenizer: Tokenizer | undefined;
  /** A later version may be put in its place. */
  placement: Placement;
  /** May be set. */
  load: SchedulerLoad;
  private readonly window: LoadWindow;
  private readonly collector: StatsCollector;
  private readonly watchers = new Watchers();
  /** May be set: what the scheduler counts. */
  counts: SchedulerCounts = {
    ...{ numPreempted: 0, numSharedTokens: 0, numPrefixQueries: 0, numPrefixHits: 0, numEvictedBlocks: 0 },
    numMoved: 0,
    ...{ numMovedTokens: 0, numArrived: 0, numArrivedTokens: 0, numRefusedPins: 0, tiers: [] },
  };
  /** May be set: what came from other ranks and instances. */
  pool = noPoolCounts();
  private numSteps = 0;
  private readonly watching = new Set<EngineObserver>();
  private readonly bytes_RR: number[][];
  private readonly lost = new Set<number>();

  private readonly play: Play;

  /** Without `requests` every request ends at once. */
  constructor(
    private readonly shape: StagedShape,
    requests?: StagedRequests,
  ) {
    this.tokenizer = requests?.tokenizer;
    this.play = requests?.play ?? playText('');
    const { numRanks, numRedundant = 0 } = shape;
    this.spec = specOf(shape);
    this.placement = withRedundancy(createPlacement('linear', shape), numRedundant);
    this.window = new LoadWindow({ ...shape, windowSize: 100 });
    this.collector = new StatsCollector(
      {
        reports: Array<LoadReport>(numRanks).fill(REPORT),
        numSeats: numRanks,
        members: firstMembers(Array(numRanks).keys()),
        spares: [],
      },
      shape,
      this.window,
    );
    this.bytes_RR = Array.from({ length: numRanks }, () => Array<number>(numRanks).fill(0));
    this.load = this.loadOf(0, () => ({ numRunning: 0, numUsedBlocks: 0 }));
  }

  get numSeats(): number {
    return this.shape.numRanks;
  }

  /** Who watches at this moment. */
  get numWatchers(): number {
    return this.watching.size;
  }

  stats(): EngineStats {
    const none = { rebalancing: null, scaling: null, speeds: [], arrivals: noArrivals(), pool: this.pool };
    return { ...this.collector.stats(), ...this.counts, ...none };
  }

  watch(observer: EngineObserver): () => void {
    const unwatch = this.watchers.add(observer);
    this.watching.add(observer);
    return () => {
      unwatch();
      this.watching.delete(observer);
    };
  }

  generate(request: GenerationRequest, signal?: AbortSignal): AsyncGenerator<TokenEvent, void, undefined> {
    return replay(this.play(request, signal));
  }

  /** What waits and what ranks that are left hold; blocks are cached as a test says. */
  loadOf(
    numWaiting: number,
    of: (rank: number) => Pick<RankUse, 'numRunning' | 'numUsedBlocks'> & Partial<RankUse>,
  ): SchedulerLoad {
    const ranks = [...Array(this.shape.numRanks).keys()].filter((rank) => !this.lost.has(rank));
    const idle = {
      numKvBlocks: this.limits.numKvBlocks,
      numCachedBlocks: 0,
      numPinnedBlocks: 0,
      tiers: [],
      numPrefillTokens: 0,
    };
    return loadOf(
      numWaiting,
      ranks.map((rank) => ({ rank, ...idle, ...of(rank) })),
    );
  }

  /** A step that counts. */
  step(staged: StagedStep = {}): void {
    const { numRanks, numLayers, numExperts } = this.shape;
    const { stepMs = 1, load_LE = zeros(numLayers, numExperts), bytes = 0 } = staged;
    const step = this.numSteps++;
    const ranks = [...Array(numRanks).keys()];
    const plans = ranks.map((rank) => planOf(step, rank, staged));
    const rankLoad_LR = load_LE.map((load_E, layer) => this.rankLoadOf(load_E, layer));
    for (const source of ranks) for (const rank of ranks) if (source !== rank) this.bytes_RR[source]![rank]! += bytes;
    const results = ranks.map((rank): StepResult | null => {
      if (this.lost.has(rank)) return null;
      const isFirst = rank === Math.min(...ranks.filter((each) => !this.lost.has(each)));
      const load = isFirst ? load_LE : zeros(numLayers, numExperts);
      const rankLoad = isFirst ? rankLoad_LR : zeros(numLayers, numRanks);
      const outputs = plans[rank]!.parts.map(({ sequence, sample }) => ({ sequence, tokenId: sample ? 1 : null }));
      return { step, outputs, load, rankLoad, phasesMs: NO_TIME, stats: this.rankStats(rank) };
    });
    const numTokens = [...(staged.prefill_R ?? []), ...(staged.decode_R ?? [])].reduce((a, b) => a + b, 0);
    const observed = observedStep({ plans, results, numTokens, stepMs, placement: this.placement });
    this.window.push(observed.load_LE);
    this.collector.observe(observed);
    this.watchers.step(observed);
  }

  /** What becomes of a request. */
  tell(news: RequestNews): void {
    this.watchers.request(news);
  }

  /** Ranks are lost. */
  lose(loss: Loss): void {
    for (const { rank } of loss.lost) this.lost.add(rank);
    const ranks = [...Array(this.placement.numRanks).keys()];
    this.collector.enter(
      epochOf(
        ranks.filter((rank) => !this.lost.has(rank)),
        loss,
      ),
    );
    this.load = { ...this.load, ranks: this.load.ranks.filter(({ rank }) => !this.lost.has(rank)) };
    this.watchers.loss(loss);
  }

  /** Ranks come and go. */
  enter(change: EpochChange): void {
    this.collector.enter(change);
    this.watchers.enter(change);
  }

  tellScale(event: ScaleEvent): void {
    this.watchers.scale(event);
  }

  /** Experts move. */
  moveExperts(event: RebalanceEvent): void {
    this.watchers.rebalance(event);
  }

  /** An expert's tokens go to its replicas evenly. */
  private rankLoadOf(load_E: readonly number[], layer: number): number[] {
    const load_R = Array<number>(this.shape.numRanks).fill(0);
    for (const [e, load] of load_E.entries()) {
      const held = this.placement.log2phy[layer]![e]!;
      for (const physical of held) load_R[rankOf(this.placement, physical)]! += load / held.length;
    }
    return load_R;
  }

  private rankStats(rank: number): StepResult['stats'] {
    const dispatchBytes = [...this.bytes_RR[rank]!];
    const none = Array<number>(this.shape.numRanks).fill(0);
    return {
      ...{ numTensors: 0, tensorBytes: 0, kernelBytes: 0, numKernelCalls: 0, numKernelRuns: 0 },
      ...{ numCopies: 0, copiedBytes: 0, numKvBlocks: 0, peakRssBytes: 0 },
      ...{ dispatchBytes, combineBytes: dispatchBytes.map((bytes) => bytes / 2), waitMs: none },
    };
  }
}

async function* replay(events: AsyncIterable<TokenEvent>): AsyncGenerator<TokenEvent, void, undefined> {
  yield* events;
}

const NO_TIME = Object.fromEntries(STEP_PHASES.map((phase) => [phase, 0])) as StepResult['phasesMs'];

const zeros = (rows: number, columns: number): number[][] =>
  Array.from({ length: rows }, () => Array<number>(columns).fill(0));

function planOf(step: number, rank: number, { prefill_R, decode_R, admitted_R }: StagedStep): StepPlan {
  const part = (length: number, isPrompt: boolean): PlanPart => ({
    ...{ sequence: 0, tokenIds: Array<number>(length).fill(1), position: 0, blocks: [] },
    ...{ isPrompt, sample: !isPrompt, nextPromptToken: null, isReplay: false },
  });
  const [numPrefill, numDecode] = [prefill_R?.[rank] ?? 0, decode_R?.[rank] ?? 0];
  // A generated token is a part of its own.
  const decodes = Array.from({ length: numDecode }, () => part(1, false));
  const begin = Array.from({ length: admitted_R?.[rank] ?? 0 }, () => ({}) as StepPlan['begin'][number]);
  const parts = numPrefill > 0 ? [...decodes, part(numPrefill, true)] : decodes;
  return { step, epoch: 0, placementVersion: 0, begin, parts };
}
