/** What the steps of one pass loaded ranks with, and how long each took. Shape suffixes: L MoE layers, E logical experts, R ranks. */
import { balanceSums, type BalanceSums } from '../../../experts/placement/balance.js';
import { LoadMonitor } from '../../../experts/load/load_monitor.js';
import type { EngineObserver } from '../../../lib/head/watchers.js';
import type { ObservedStep } from '../../../lib/head/observing/step_observer.js';
import { BalanceSeries, type BalancePoint } from '../../../lib/metrics/balance_series.js';

/** Watches an engine from its beginning on. */
export class WatchedSteps implements EngineObserver {
  readonly stepMs: number[] = [];
  private readonly series = new BalanceSeries();
  private readonly rankLoad: LoadMonitor;
  private firstStep: number | null = null;
  private readonly moves: number[] = [];
  private makespanSum = 0;

  constructor(numLayers: number, numSeats: number) {
    this.rankLoad = new LoadMonitor(numLayers, numSeats);
  }

  /** Adds a step that counts. */
  step({ step, stepMs, results, rankLoad_LR }: ObservedStep): void {
    this.firstStep ??= step;
    this.stepMs.push(stepMs);
    this.rankLoad.merge(rankLoad_LR);
    const ofThoseThere = rankLoad_LR.map((load_R) => load_R.filter((_, rank) => results[rank] != null));
    for (const load_R of ofThoseThere) this.makespanSum += Math.max(...load_R);
    this.series.push(step - this.firstStep, balanceSums(ofThoseThere));
  }

  /** Experts moved. */
  rebalance(event: Parameters<NonNullable<EngineObserver['rebalance']>>[0]): void {
    if (event.kind === 'done') this.moves.push(event.step - (this.firstStep ?? event.step));
  }

  /** Σ over steps and layers of the busiest rank's choices. */
  get makespan(): number {
    return this.makespanSum;
  }

  /** First steps with a new placement, from the first that was watched. */
  get rebalances(): readonly number[] {
    return this.moves;
  }

  /** Of neighbouring steps. */
  get points(): readonly BalancePoint[] {
    return this.series.points;
  }

  /** Over all steps. */
  get sums(): BalanceSums {
    const total = { meanLoad: 0, maxLoad: 0 };
    for (const { meanLoad, maxLoad } of this.series.points) {
      total.meanLoad += meanLoad;
      total.maxLoad += maxLoad;
    }
    return total;
  }

  /** [L][R] */
  get rankLoad_LR(): readonly Float64Array[] {
    return this.rankLoad.load_LE;
  }
}
