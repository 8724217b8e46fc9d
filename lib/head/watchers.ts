/** Who watches an engine: told of steps, requests, losses, rebalances, slow ranks and scaling as they happen. */
import type { ScaleEvent } from './elastic/scale_events.js';
import type { EpochChange } from '../job/step_runner.js';
import type { RequestNews } from './observing/request_news.js';
import type { ObservedStep } from './observing/step_observer.js';
import type { ExpertsEvent } from './rebalancing/experts_event.js';
import type { RebalanceEvent } from './rebalancing/rebalance_stats.js';
import type { SpeedEvent } from './speeds/speed_events.js';
import type { Loss } from './step_loop.js';

/** Follows an engine. What it throws fails all requests: it is part of the engine while it watches. */
export interface EngineObserver {
  /** A step that counts; the next one waits until this returns. */
  step?(step: ObservedStep): void;
  /** What became of a request. */
  request?(news: RequestNews): void;
  /** Ranks were lost, and the job goes on without them. */
  loss?(loss: Loss): void;
  /** Experts moved, or could not be moved. */
  rebalance?(event: RebalanceEvent): void;
  /** Experts of lost ranks have new homes, or are spread anew since ranks came or went. */
  homes?(event: ExpertsEvent): void;
  /** Ranks came or went, or hold no experts any more: the next step runs with the members of a new epoch. Before {@link loss}. */
  enter?(change: EpochChange): void;
  /** A rank fell behind or caught up, or rows come late over one link. */
  speed?(event: SpeedEvent): void;
  /** Ranks come or go because somebody wanted it. */
  scale?(event: ScaleEvent): void;
}

/** Tells all that watch. */
export class Watchers implements Required<EngineObserver> {
  private readonly watchers = new Set<EngineObserver>();

  /** Tells `watcher` of what happens from now on; returns how to stop that. */
  add(watcher: EngineObserver): () => void {
    this.watchers.add(watcher);
    return () => void this.watchers.delete(watcher);
  }

  /** Tells of a step that counts. */
  step(step: ObservedStep): void {
    for (const watcher of this.watchers) watcher.step?.(step);
  }

  /** Tells what became of a request. */
  request(news: RequestNews): void {
    for (const watcher of this.watchers) watcher.request?.(news);
  }

  /** Tells of lost ranks. */
  loss(loss: Loss): void {
    for (const watcher of this.watchers) watcher.loss?.(loss);
  }

  /** Tells of experts that moved, or could not be moved. */
  rebalance(event: RebalanceEvent): void {
    for (const watcher of this.watchers) watcher.rebalance?.(event);
  }

  /** Tells of experts whose ranks came or went. */
  homes(event: ExpertsEvent): void {
    for (const watcher of this.watchers) watcher.homes?.(event);
  }

  /** Tells of a new epoch. */
  enter(change: EpochChange): void {
    for (const watcher of this.watchers) watcher.enter?.(change);
  }

  /** Tells of ranks that are slow, and no longer. */
  speed(event: SpeedEvent): void {
    for (const watcher of this.watchers) watcher.speed?.(event);
  }

  /** Tells of ranks that come or go. */
  scale(event: ScaleEvent): void {
    for (const watcher of this.watchers) watcher.scale?.(event);
  }
}
