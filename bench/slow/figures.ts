/** What a slow rank costs its job, beside what it must. Pure. */
import { median } from '../base/machine.js';
import type { StepCost } from './step_costs.js';

/** `even`: no rank is slow; `ignored`: one is, and every rank gets the same work; `shared`: each gets what it can. */
export const VARIANTS = ['even', 'ignored', 'shared'] as const;
/** One of {@link VARIANTS}. */
export type Variant = (typeof VARIANTS)[number];

/** Of one way to share work out. */
export interface VariantRow {
  readonly variant: Variant;
  /** Of all of them, the middle one. */
  readonly step_ms: number;
  /** Times the shortest possible. */
  readonly ratio: number;
  /** Of all rows and of all sequences, those of the slow rank. */
  readonly slow_rows: number;
  readonly slow_sequences: number;
  /** Of a step, what the slow rank, and what the others on average computed. */
  readonly slow_busy: number;
  readonly others_busy: number;
  readonly steps: number;
}

/** All of it. */
export interface SlowFigures {
  /** The shortest that steps could take with a slow rank, were work divided to the last bit. */
  readonly ideal_ms: number;
  readonly rows: readonly VariantRow[];
}

/** @param factor how many times longer the last rank takes in all variants but `even` */
export function slowFigures(costs: Readonly<Record<Variant, readonly StepCost[]>>, factor: number): SlowFigures {
  const idealMs = idealOf(costs.even, factor);
  const rows = VARIANTS.map((variant) => rowOf(variant, costs[variant], idealMs));
  return { ideal_ms: idealMs, rows };
}

/**
 * What ranks compute takes as long as they compute together in the same time: R ranks of which one is slow, R − 1 + 1 / factor of usual ones. What they wait
 * for each other and for the head takes no longer than before.
 */
function idealOf(even: readonly StepCost[], factor: number): number {
  const numRanks = even[0]!.workMs.length;
  const workMs = median(even.map((cost) => sum(cost.workMs) / numRanks));
  return median(even.map(({ stepMs }) => stepMs)) + workMs * (numRanks / (numRanks - 1 + 1 / factor) - 1);
}

function rowOf(variant: Variant, costs: readonly StepCost[], idealMs: number): VariantRow {
  const stepMs = median(costs.map((cost) => cost.stepMs));
  const shareOf = (of: (cost: StepCost) => readonly number[]): number =>
    sum(costs.map((cost) => of(cost).at(-1)!)) / sum(costs.flatMap(of));
  const busy = (of: (workMs: readonly number[]) => number): number =>
    median(costs.map(({ workMs, stepMs: ms }) => of(workMs) / ms));
  return {
    variant,
    step_ms: stepMs,
    ratio: stepMs / idealMs,
    slow_rows: shareOf(({ rows }) => rows),
    slow_sequences: shareOf(({ sequences }) => sequences),
    slow_busy: busy((workMs) => workMs.at(-1)!),
    others_busy: busy((workMs) => sum(workMs.slice(0, -1)) / (workMs.length - 1)),
    steps: costs.length,
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
