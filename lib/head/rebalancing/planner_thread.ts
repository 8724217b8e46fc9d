/** Planning beside the head's event loop: a plan takes milliseconds, in which no token would be delivered. */
import { causeText } from '../../../base/foreign_text.js';
import { Worker } from 'node:worker_threads';
import { placementFrom, type Placement } from '../../../experts/placement/placement.js';
import type { StableOptions } from '../../../experts/placement/planners/eplb_stable.js';
import type { ExpertLoad, Plan } from '../../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../../experts/placement/planners/topology.js';
import type { ConfigPlugin } from '../../config/schema.js';
import { strayError } from '../../plugins/stray_error.js';
import { EngineError } from '../../protocol/errors.js';
import type { PlanAnswer, PlannerWorkerData, PlanQuestion } from './planner_worker.js';

/** Makes plans, one after the other. */
export interface Planning {
  /** Rejects with why there is no plan. */
  plan(load_LE: ExpertLoad, topology: PlanTopology, current: Placement): Promise<Plan>;
  /** A plan will be asked for soon: what it needs can be started. */
  prepare(): void;
  /** Idempotent. */
  close(): Promise<void>;
}

interface PendingPlan {
  readonly current: Placement;
  readonly resolve: (plan: Plan) => void;
  readonly reject: (error: EngineError) => void;
}

/** Plans in a thread of its own (`planner_worker.ts`). */
export class PlannerThread implements Planning {
  private readonly workerData: PlannerWorkerData;
  /** Started before the first plan. */
  private worker: Worker | null = null;
  /** In the order in which they were asked for, and are answered. */
  private readonly pending: PendingPlan[] = [];

  /**
   * @param plugins one of which brings the planner, where it isn't there without
   * @param options of `eplb_stable`
   */
  constructor(planner: string, plugins: readonly ConfigPlugin[] = [], options: StableOptions = {}) {
    this.workerData = { planner, plugins, options };
  }

  plan(load_LE: ExpertLoad, topology: PlanTopology, current: Placement): Promise<Plan> {
    this.prepare();
    const worker = this.worker!;
    const { version, numRanks, numExperts, phy2log } = current;
    const question: PlanQuestion = { load_LE, topology, current: { version, numRanks, numExperts, phy2log } };
    return new Promise((resolve, reject) => {
      this.pending.push({ current, resolve, reject });
      worker.ref();
      worker.postMessage(question);
    });
  }

  prepare(): void {
    this.worker ??= this.start();
  }

  async close(): Promise<void> {
    await this.worker?.terminate();
  }

  private start(): Worker {
    const worker = new Worker(new URL('./planner_worker.js', import.meta.url), { workerData: this.workerData });
    worker.on('message', (answer: PlanAnswer) => this.answered(answer));
    worker.on('error', (error: unknown) => this.failAll(causeText(strayError(error) ?? error)));
    worker.on('exit', () => {
      this.worker = null;
      this.failAll('the planning thread ended');
    });
    worker.unref(); // an idle planner keeps no process alive
    return worker;
  }

  private answered(answer: PlanAnswer): void {
    const { current, resolve, reject } = this.pending.shift()!;
    if (this.pending.length === 0) this.worker?.unref();
    if (answer.kind === 'failed') return reject(new EngineError('REBALANCE_FAILED', answer.message));
    const { version, numRanks, numExperts } = current;
    resolve({ placement: placementFrom(version + 1, numRanks, numExperts, answer.phy2log), report: answer.report });
  }

  private failAll(why: string): void {
    for (const { reject } of this.pending.splice(0)) reject(new EngineError('REBALANCE_FAILED', why));
  }
}
