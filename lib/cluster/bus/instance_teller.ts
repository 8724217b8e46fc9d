/**
 * Tells of an engine what routers know of an instance: its record, its load, and which blocks it has. Between steps it only remembers that something
 * changed; a timer tells, at most every `cluster.load_interval_ms`.
 * Why: docs/decisions/cluster.md#the-bus-tells-state-and-loses-nothing-that-counts
 */
import type { Engine } from '../../head/engine.js';
import type { RequestNews } from '../../head/observing/request_news.js';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { EngineObserver } from '../../head/watchers.js';
import type { BlockEvent } from '../base/block_events.js';
import type { ClusterError } from '../base/errors.js';
import type { InstanceRecord } from '../base/instance_record.js';
import { MAX_LISTED_REQUESTS, type LoadReport, type RequestLoad } from '../base/load_report.js';
import { BlockOutbox } from './block_outbox.js';
import type { MemberEvents, Membership } from './bus.js';
import { StepRates } from './step_rates.js';

/** Of what is told. */
export type ToldEngine = Pick<Engine, 'load' | 'watch' | 'sequenceLoads' | 'isMovable' | 'storedBlocks'>;

/** Who tells, and how often. */
export interface InstanceTellerOptions {
  readonly record: InstanceRecord;
  /** Between two reports. Default 100. */
  readonly intervalMs?: number;
  /** A membership is in trouble; null: no longer. Default: nobody hears of it. */
  readonly onTrouble?: (error: ClusterError | null) => void;
}

/** Characters of an id that a report tells: a request with a longer one isn't listed. */
const MAX_ID_CHARS = 256;

/** Reports between which all is told anew once at most, whoever wants it. */
const WHOLE_INTERVALS = 10;

/** Tells all its memberships the same. */
export class InstanceTeller implements EngineObserver, MemberEvents {
  private readonly members = new Set<Membership>();
  private readonly rates = new StepRates();
  /** As callers named them, by sequence. */
  private readonly ids = new Map<number, string>();
  private readonly outbox: BlockOutbox | null;
  private readonly unwatch: () => void;
  private readonly timer: NodeJS.Timeout;
  private readonly intervalMs: number;
  private own: InstanceRecord;
  private numBatches = 0;
  private numReports = 0;
  /** The last report, without its number. */
  private reported = '';
  private hasChanged = true;
  private isWanted = true;
  private wholeMs = -Infinity;

  constructor(
    private readonly engine: ToldEngine,
    private readonly options: InstanceTellerOptions,
  ) {
    const { record, intervalMs = 100 } = options;
    this.own = record;
    this.intervalMs = intervalMs;
    const { storedBlocks } = engine;
    this.outbox = storedBlocks && new BlockOutbox(storedBlocks);
    this.unwatch = engine.watch(this);
    this.timer = setInterval(() => this.tell(), intervalMs).unref();
  }

  /** As it is told. */
  get record(): InstanceRecord {
    return this.own;
  }

  /** Tells it by one membership more, beginning with load and all blocks. */
  add(member: Membership): void {
    this.members.add(member);
    this.wanted();
  }

  /** The instance changed. */
  update(changes: Partial<InstanceRecord>): void {
    this.own = { ...this.own, ...changes };
    for (const member of this.members) member.update(this.own);
  }

  /** A step that counts. */
  step(step: ObservedStep): void {
    this.rates.step(step);
    this.hasChanged = true;
  }

  /** What became of a request. */
  request(news: RequestNews): void {
    this.hasChanged = true;
    if (news.kind === 'queued' && news.id !== null && news.id.length <= MAX_ID_CHARS)
      this.ids.set(news.sequence, news.id);
    if (news.kind === 'finished' || news.kind === 'ended') this.ids.delete(news.sequence);
  }

  /** Ranks came or went. */
  enter(): void {
    this.hasChanged = true;
  }

  /** As {@link MemberEvents.wanted}. */
  wanted(): void {
    this.isWanted = true;
  }

  /** As {@link MemberEvents.trouble}. */
  trouble(error: ClusterError | null): void {
    this.options.onTrouble?.(error);
  }

  /** Nothing is told any more, and all memberships leave. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    this.unwatch();
    const members = [...this.members];
    this.members.clear();
    await Promise.all(members.map((member) => member.leave()));
  }

  private tell(): void {
    const nowMs = performance.now();
    const isWhole = this.isWanted && nowMs - this.wholeMs >= WHOLE_INTERVALS * this.intervalMs;
    if (isWhole) {
      this.isWanted = false;
      this.wholeMs = nowMs;
      this.outbox?.putAll();
      if (this.outbox === null) this.publish([{ kind: 'cleared' }]);
    }
    if (isWhole || this.hasChanged) this.report(isWhole);
    this.tellBlocks();
  }

  private report(isWhole: boolean): void {
    this.hasChanged = false;
    const load = this.load();
    const text = JSON.stringify(load);
    if (text === this.reported && !isWhole) return;
    this.reported = text;
    const { id: instance, incarnation } = this.own;
    const report: LoadReport = { instance, incarnation, sequence: this.numReports++, ...load };
    for (const member of this.members) member.report(report);
  }

  /** One batch now, and the others each in a turn of its own: a step doesn't wait for all of them. */
  private tellBlocks(): void {
    const events = this.outbox?.take();
    if (events === undefined) return;
    this.publish(events);
    if (this.outbox!.isBusy) setImmediate(() => this.tellBlocks());
  }

  private publish(events: readonly BlockEvent[]): void {
    const { id: instance, incarnation } = this.own;
    const batch = { instance, incarnation, sequence: this.numBatches++, events };
    for (const member of this.members) member.publish(batch);
  }

  private load(): Omit<LoadReport, 'instance' | 'incarnation' | 'sequence'> {
    const { engine } = this;
    const { numWaiting, ranks } = engine.load;
    const { numPrefillTokens, sequences } = engine.sequenceLoads(MAX_LISTED_REQUESTS);
    const sum = (of: (rank: (typeof ranks)[number]) => number): number =>
      ranks.reduce((total, rank) => total + of(rank), 0);
    return {
      numWaiting,
      numRunning: sum(({ numRunning }) => numRunning),
      numKvBlocks: sum(({ numKvBlocks }) => numKvBlocks),
      numUsedBlocks: sum(({ numUsedBlocks }) => numUsedBlocks),
      numCachedBlocks: sum(({ numCachedBlocks }) => numCachedBlocks),
      numFreeBlocksOfRank: Math.max(0, ...ranks.map(({ numKvBlocks, numUsedBlocks }) => numKvBlocks - numUsedBlocks)),
      numPrefillTokens,
      ...this.rates.rates,
      requests: sequences.flatMap(({ sequence, ...load }): RequestLoad[] => {
        const id = this.ids.get(sequence);
        return id === undefined ? [] : [{ id, isMovable: engine.isMovable(sequence), arrival: sequence, ...load }];
      }),
    };
  }
}
