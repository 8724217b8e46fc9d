/**
 * Follows an engine for the live page. What it keeps is bounded and costs a few additions per step; messages are made when somebody asks for them.
 * Why: docs/decisions/page.md#history-is-kept-and-messages-are-made-on-demand
 */
import type { Engine, EngineStats } from '../../head/engine.js';
import type { ScaleEvent } from '../../head/elastic/scale_events.js';
import { scaleText } from '../../head/elastic/scale_text.js';
import { isThere } from '../../head/observing/rank_states.js';
import type { RequestNews } from '../../head/observing/request_news.js';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { EpochChange } from '../../job/step_runner.js';
import type { ExpertsEvent } from '../../head/rebalancing/experts_event.js';
import type { RebalanceEvent } from '../../head/rebalancing/rebalance_stats.js';
import { speedText, type SpeedEvent } from '../../head/speeds/speed_events.js';
import type { Loss } from '../../head/step_loop.js';
import type { EngineObserver } from '../../head/watchers.js';
import { expertCountsOf, moeLayersOf } from '../../model/spec/spec.js';
import { loadPicture, placementPicture } from './expert_pictures.js';
import { liveTier, placesOf } from './kv_places.js';
import {
  LIVE_LIMITS,
  type LiveDelta,
  type LiveEvent,
  type LiveModel,
  type LiveNow,
  type LiveSnapshot,
} from './messages.js';
import { RequestClock } from './request_clock.js';
import { Ring } from './ring.js';
import { Seconds } from './seconds.js';
import { StepLog } from './step_log.js';
import { TrafficMeter } from './traffic_meter.js';

/** What the feed follows. */
export type LiveEngine = Pick<Engine, 'spec' | 'limits' | 'load' | 'placement' | 'numSeats' | 'stats' | 'watch'>;

/** What the page shows of the model besides the engine's own words, and the clock. */
export interface LiveFeedOptions {
  readonly name: string;
  readonly version: string;
  /** Milliseconds since 1970; never goes back. Default: the system's clock, as it was when the process began, and what passed since then. */
  readonly clock?: () => number;
}

const steadyClock = (): number => performance.timeOrigin + performance.now();

/** What is told of an engine. Starts with what happens after it was made. */
export class LiveFeed implements EngineObserver {
  private readonly clock: () => number;
  private readonly requests = new RequestClock();
  private readonly seconds: Seconds;
  private readonly log: StepLog;
  private readonly events = new Ring<LiveEvent>(LIVE_LIMITS.numEvents);
  private readonly traffic = new TrafficMeter();
  private readonly unwatch: () => void;
  /** What the last delta ended with. */
  private told = { numSeconds: 0, numSteps: 0, numEvents: 0, loadStep: -1, placement: '' };

  constructor(
    private readonly engine: LiveEngine,
    private readonly options: LiveFeedOptions,
  ) {
    this.clock = options.clock ?? steadyClock;
    const numLayers = moeLayersOf(engine.spec).length;
    const numRanks = (): number => engine.placement.numRanks;
    this.seconds = new Seconds({ clock: this.requests, numLayers, numRanks, load: () => engine.load });
    this.log = new StepLog(engine.numSeats);
    this.seconds.roll(this.clock());
    this.unwatch = engine.watch(this);
  }

  /** A step that counts. */
  step(step: ObservedStep): void {
    this.seconds.roll(this.clock());
    this.seconds.add(step);
    this.log.add(step);
  }

  /** What became of a request. */
  request(news: RequestNews): void {
    const nowMs = this.clock();
    this.seconds.roll(nowMs);
    this.requests.hear(news, nowMs);
    this.log.hear(news);
  }

  /** Ranks were lost. Reasons may name paths of the head's machine: the log has them. */
  loss({ lost, numRanksLeft, numRecomputed }: Loss): void {
    const ranks = lost.map(({ rank, error }) => `${rank} (${error.code})`).join(', ');
    const again = numRecomputed === 0 ? '' : `; ${numRecomputed} sequences are computed anew`;
    this.tell('loss', `lost rank ${ranks}: ${numRanksLeft} left${again}`);
  }

  /** Experts moved, or could not be moved. */
  rebalance(event: RebalanceEvent): void {
    if (event.kind === 'failed')
      return this.tell('rebalance_failed', `experts stay where they are (${event.error.code})`);
    const { version, numMovedExperts, predicted } = event;
    const [before, after] = [predicted.before.toFixed(2), predicted.after.toFixed(2)];
    this.tell('rebalance', `placement ${version}: ${numMovedExperts} experts moved, balance ${before} → ${after}`);
  }

  /** Experts of lost ranks have new homes, or are spread anew since ranks came or went. */
  homes(event: ExpertsEvent): void {
    switch (event.kind) {
      case 'recovered':
        return this.tell(
          'homes',
          `${event.numExperts} experts have new homes, after ${Math.round(event.recoveryMs)} ms`,
        );
      case 'spread':
        return this.tell('homes', `${event.why}: ${event.moved.numMovedExperts} experts moved`);
      case 'failed':
        return this.tell('homes_failed', `${event.why}: experts stay where they are (${event.error.code})`);
    }
  }

  /** Ranks came: of those that went, others tell. */
  enter({ joined, members }: EpochChange): void {
    if (joined.length === 0) return;
    const numRanks = members.present.size;
    this.tell('join', `joined: rank ${joined.join(', ')}; ${numRanks} ${numRanks === 1 ? 'rank' : 'ranks'} now`);
  }

  /** A rank fell behind or caught up, or rows come late over one link. */
  speed(event: SpeedEvent): void {
    this.tell('speed', speedText(event));
  }

  /** Ranks come or go because somebody wanted it. */
  scale(event: ScaleEvent): void {
    const text = scaleText(event);
    if (text !== null) this.tell(event.kind === 'failed' ? 'scale_failed' : 'scale', text);
  }

  /** Everything that is kept. */
  snapshot(): LiveSnapshot {
    const nowMs = this.clock();
    this.seconds.roll(nowMs);
    const stats = this.engine.stats();
    return {
      model: this.model(stats),
      now: this.now(stats, nowMs),
      seconds: this.seconds.ended.items,
      steps: this.log.after(0, stats.numRanks),
      events: this.events.items,
      load: loadPicture(stats.windowLoad),
      placement: placementPicture(this.engine.placement, absentRanks(stats)),
      traffic: this.traffic.traffic(stats.numRanks),
    };
  }

  /** The next delta tells what is new since this moment. */
  start(): void {
    this.delta();
    this.traffic.start(this.engine.stats(), this.clock());
  }

  /** What is new since the last delta, whoever asked for that. */
  delta(): LiveDelta {
    const nowMs = this.clock();
    this.seconds.roll(nowMs);
    const { told, engine } = this;
    const stats = engine.stats();
    const absent = absentRanks(stats);
    const placement = `${engine.placement.version} ${stats.numRanks} ${absent.join()}`;
    const traffic = this.traffic.read(stats, nowMs);
    const delta: LiveDelta = {
      now: this.now(stats, nowMs),
      seconds: this.seconds.ended.after(told.numSeconds),
      steps: this.log.after(told.numSteps, stats.numRanks),
      events: this.events.after(told.numEvents),
      ...(stats.numSteps !== told.loadStep && { load: loadPicture(stats.windowLoad) }),
      ...(placement !== told.placement && { placement: placementPicture(engine.placement, absent) }),
      ...(traffic !== null && { traffic }),
    };
    const [numSeconds, numSteps, numEvents] = [this.seconds.ended.count, this.log.count, this.events.count];
    this.told = { numSeconds, numSteps, numEvents, loadStep: stats.numSteps, placement };
    return delta;
  }

  /** Follows the engine no more. Idempotent. */
  close(): void {
    this.unwatch();
  }

  private tell(kind: LiveEvent['kind'], text: string): void {
    this.events.push({ number: this.events.count, atMs: Math.round(this.clock()), kind, text });
  }

  private model({ backend }: EngineStats): LiveModel {
    const { spec, limits } = this.engine;
    const counts = expertCountsOf(spec);
    const isUneven = counts.some((count) => count !== counts[0]);
    return {
      name: this.options.name,
      version: this.options.version,
      moeLayers: moeLayersOf(spec),
      numExperts: spec.moe.gate.numExperts,
      ...(isUneven && { numExpertsByLayer: counts }),
      numTopk: spec.moe.gate.numTopk,
      backend,
      contextLength: limits.maxModelLen,
    };
  }

  private now(stats: EngineStats, nowMs: number): LiveNow {
    const { load, limits } = this.engine;
    const { numSteps, numPromptTokens, numOutputTokens, numPreempted, numDegradedTokens } = stats;
    const { numPrefixQueries, numPrefixHits } = stats;
    const none = { numRunning: 0, numUsedBlocks: 0, numCachedBlocks: 0, numPinnedBlocks: 0, tiers: [] };
    const nothing = { ...none, numKvBlocks: limits.numKvBlocks };
    const ranks = stats.rankStates.map((state, rank) => {
      const use = load.ranks.find((each) => each.rank === rank);
      const { numRunning, numUsedBlocks, numCachedBlocks, numPinnedBlocks, numKvBlocks, tiers } = use ?? nothing;
      const blocks = { numUsedBlocks, numCachedBlocks, numPinnedBlocks, numKvBlocks };
      return { rank, state, numRunning, ...blocks, tiers: tiers.map(liveTier) };
    });
    return {
      ...{ atMs: Math.round(nowMs), numWaiting: load.numWaiting, ranks },
      ...{ ttftMs: this.requests.ttft.percentiles(nowMs), itlMs: this.requests.itl.percentiles(nowMs) },
      ...{ numSteps, numPromptTokens, numOutputTokens, numPreempted, numDegradedTokens },
      ...{ numPrefixQueries, numPrefixHits, places: placesOf(stats) },
    };
  }
}

const absentRanks = ({ rankStates }: EngineStats): number[] =>
  [...rankStates.keys()].filter((rank) => !isThere(rankStates[rank]));
