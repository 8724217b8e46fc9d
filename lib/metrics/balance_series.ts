/**
 * Balancedness over time in constant memory: when it is full, neighbouring points become one. Pure.
 * Why: docs/decisions/measuring.md#balancedness-is-measured
 */
import type { BalanceSums } from '../../experts/placement/balance.js';

/** Sums over its steps and their layers. */
export interface BalancePoint extends BalanceSums {
  /** The first of its steps. */
  readonly step: number;
  readonly numSteps: number;
  /** Of prompts, computed in its steps; absent: none. */
  readonly numPromptTokens?: number;
}

/** The balance of a whole run: each point sums up as many steps as needed to stay within the capacity. */
export class BalanceSeries {
  private all: BalancePoint[] = [];
  private stepsPerPoint = 1;

  /** At most `capacity` points, an even number. Default 512. */
  constructor(private readonly capacity = 512) {}

  /** In order of steps; they change with the next one. */
  get points(): readonly BalancePoint[] {
    return this.all;
  }

  /** Adds one step, of a higher number than the last. */
  push(step: number, { meanLoad, maxLoad }: BalanceSums, numPromptTokens = 0): void {
    const point = { step, numSteps: 1, meanLoad, maxLoad, ...promptTokens(numPromptTokens) };
    const last = this.all.at(-1);
    if (last !== undefined && last.numSteps < this.stepsPerPoint) {
      this.all[this.all.length - 1] = joined(last, point);
      return;
    }
    if (this.all.length === this.capacity) this.halve(); // all points full, since each takes steps until it is
    this.all.push(point);
  }

  private halve(): void {
    const { all } = this;
    this.all = all.flatMap((point, i) => (i % 2 === 0 ? [joined(point, all[i + 1]!)] : []));
    this.stepsPerPoint *= 2;
  }
}

const joined = (a: BalancePoint, b: BalancePoint): BalancePoint => ({
  step: a.step,
  numSteps: a.numSteps + b.numSteps,
  meanLoad: a.meanLoad + b.meanLoad,
  maxLoad: a.maxLoad + b.maxLoad,
  ...promptTokens((a.numPromptTokens ?? 0) + (b.numPromptTokens ?? 0)),
});

const promptTokens = (numPromptTokens: number): Pick<BalancePoint, 'numPromptTokens'> =>
  numPromptTokens === 0 ? {} : { numPromptTokens };
