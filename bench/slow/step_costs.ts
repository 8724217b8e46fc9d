/** What the steps of a job cost its ranks, in which every sequence generates one token and no experts move. */
import type { ObservedStep } from '../../lib/head/observing/step_observer.js';
import type { EngineObserver } from '../../lib/head/watchers.js';
import { WORK_PHASES } from './burdened_stopwatch.js';

/** One such step. */
export interface StepCost {
  readonly stepMs: number;
  /** By rank: what it computed for, without waiting. */
  readonly workMs: readonly number[];
  /** By rank: rows of its experts, over all layers. */
  readonly rows: readonly number[];
  /** By rank. */
  readonly sequences: readonly number[];
}

/** Follows an engine while `numStreams` sequences run. */
export class StepCosts implements EngineObserver {
  private costs: StepCost[] = [];

  constructor(private readonly numStreams: number) {}

  /** A step that counts. */
  step({ plans, results, stepMs, rankLoad_LR }: ObservedStep): void {
    const sequences = plans.map(({ parts }) => parts.length);
    const isQuiet = plans.every((plan) => plan.moveRound === undefined && plan.parts.every((part) => !part.isPrompt));
    if (!isQuiet || sum(sequences) !== this.numStreams) return;
    const workMs = results.map((result) => sum(WORK_PHASES.map((phase) => result?.phasesMs[phase] ?? 0)));
    const rows = plans.map((_, rank) => sum(rankLoad_LR.map((load_R) => load_R[rank]!)));
    this.costs.push({ stepMs, workMs, rows, sequences });
  }

  /** Those since the last call. */
  take(): StepCost[] {
    const { costs } = this;
    this.costs = [];
    return costs;
  }
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
