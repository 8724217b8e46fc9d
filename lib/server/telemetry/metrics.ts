/** Prometheus' view of an engine: vLLM's series under vLLM's names, and our own under `expertwire:`. */
import { Registry } from 'prom-client';
import type { ObservedStep } from '../../head/observing/step_observer.js';
import type { EngineObserver } from '../../head/watchers.js';
import { NO_BATCHES, type BatchCounts } from '../base/batch_counts.js';
import { ArrivalMetrics } from './arrival_metrics.js';
import { BatchMetrics } from './batch_metrics.js';
import { ExpertMetrics } from './expert_metrics.js';
import { JobMetrics } from './job_metrics.js';
import { KvMetrics } from './kv_metrics.js';
import { RequestMetrics } from './request_metrics.js';
import type { TrackListener } from './request_track.js';
import { SchedulerMetrics } from './scheduler_metrics.js';
import { SeriesMaker } from './series.js';
import { StepMetrics } from './step_metrics.js';
import type { TelemetrySource } from './telemetry_source.js';
import { TrafficMetrics } from './traffic_metrics.js';

/** Which series there are. */
export interface MetricsOptions {
  /** The label `model_name` of all series. */
  readonly modelName: string;
  /** A series per layer and expert, and per pair of however many ranks. Default false. */
  readonly isFull?: boolean;
  /** Asked when somebody scrapes. Default: there are none. */
  readonly batches?: () => BatchCounts;
}

/** What a series is called. */
export interface SeriesInfo {
  readonly name: string;
  readonly labelNames: readonly string[];
}

/**
 * The series of one server, in a registry of its own. What happens in steps is counted as it happens; all else is read when somebody scrapes.
 * Why: docs/decisions/telemetry.md#counted-when-it-happens-or-read-when-asked
 */
export class Metrics implements Pick<EngineObserver, 'step'> {
  private readonly registry = new Registry();
  private readonly requestMetrics: RequestMetrics;
  private readonly steps: StepMetrics;
  private readonly scheduler: SchedulerMetrics;
  private readonly traffic: TrafficMetrics;
  private readonly experts: ExpertMetrics;
  private readonly job: JobMetrics;
  private readonly arrivals: ArrivalMetrics;
  private readonly kv: KvMetrics;
  private readonly batchMetrics: BatchMetrics;
  private readonly batches: () => BatchCounts;

  constructor(
    private readonly source: TelemetrySource,
    { modelName, isFull = false, batches = () => NO_BATCHES }: MetricsOptions,
  ) {
    this.registry.setDefaultLabels({ model_name: modelName, engine: '0' });
    const make = new SeriesMaker(this.registry);
    this.scheduler = new SchedulerMetrics(make);
    this.requestMetrics = new RequestMetrics(make, source.limits.maxModelLen);
    this.steps = new StepMetrics(make);
    this.experts = new ExpertMetrics(make, isFull);
    this.traffic = new TrafficMetrics(make, isFull);
    this.job = new JobMetrics(make);
    this.arrivals = new ArrivalMetrics(make);
    this.kv = new KvMetrics(make);
    this.batchMetrics = new BatchMetrics(make, 'expertwire:');
    this.batches = batches;
  }

  /** Who counts requests. */
  get requests(): TrackListener {
    return this.requestMetrics;
  }

  /** Of the text. */
  get contentType(): string {
    return this.registry.contentType;
  }

  /** All series, in the order of the text, with their labels besides those that all have. */
  get series(): readonly SeriesInfo[] {
    return this.registry.getMetricsAsArray() as unknown as readonly SeriesInfo[]; // the library's type lacks labels
  }

  /** Counts a step. */
  step(step: ObservedStep): void {
    this.steps.step(step);
  }

  /** All series at this moment, in Prometheus' text format 0.0.4. */
  text(): Promise<string> {
    const { source } = this;
    const stats = source.stats();
    const { load } = source;
    this.scheduler.update(load, stats);
    this.requestMetrics.update();
    this.steps.update(stats);
    this.experts.update(stats);
    this.traffic.update(stats);
    this.job.update(stats, source.placement.version);
    this.arrivals.update(stats);
    this.kv.update(load, stats);
    this.batchMetrics.update(this.batches());
    return this.registry.metrics();
  }
}
