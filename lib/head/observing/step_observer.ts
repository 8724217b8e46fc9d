/** What a step that counts came to, for all who follow the steps of a job. Shape suffixes: L MoE layers, E logical experts, R ranks. */
import { LoadMonitor } from '../../../experts/load/load_monitor.js';
import type { Placement } from '../../../experts/placement/placement.js';
import type { EpochChange } from '../../job/step_runner.js';
import type { StepPlan, StepResult } from '../../protocol/step_plan.js';

/** A step that every rank which is left finished. */
export interface ObservedStep {
  readonly step: number;
  /** By rank, without sequences that ended while the step ran. */
  readonly plans: readonly StepPlan[];
  /** By rank, an output for each part of its plan; null for one that was lost earlier. */
  readonly results: readonly (StepResult | null)[];
  /** Tokens that the ranks computed, those too of sequences that ended meanwhile: the load counts them. */
  readonly numTokens: number;
  /** From its beginning, or the end of the step before where it was planned earlier, to the last rank's result. */
  readonly stepMs: number;
  /** What it ran with, without what lost ranks held; the same object until it changes. */
  readonly placement: Placement;
  /** Tokens per MoE layer and logical expert, after masking, of all ranks: [L][E]. */
  readonly load_LE: readonly Float64Array[];
  /** Of the same choices, how many each rank computed: [L][R]. */
  readonly rankLoad_LR: readonly Float64Array[];
}

/** Follows the steps of a job: statistics, the rebalancer and recorders do. */
export interface StepObserver {
  /** Told of every step that counts, before its tokens go out; the next step waits for it. Where it throws or rejects, all requests fail. */
  observe(step: ObservedStep): void | Promise<void>;
  /** A new epoch: the next step runs with its members. */
  enter?(change: EpochChange): void;
}

/** A step with the counts of all ranks added up. */
export function observedStep(parts: Omit<ObservedStep, 'step' | 'load_LE' | 'rankLoad_LR'>): ObservedStep {
  const present = parts.results.filter((result) => result !== null);
  return {
    ...parts,
    step: parts.plans[0]!.step,
    load_LE: summed(present.map(({ load }) => load)),
    rankLoad_LR: summed(present.map(({ rankLoad }) => rankLoad)),
  };
}

function summed(counts: readonly StepResult['load'][]): readonly Float64Array[] {
  const [first] = counts;
  const widths = first!.map(({ length }) => length);
  const sum = new LoadMonitor(widths.length, widths);
  for (const each of counts) sum.merge(each);
  return sum.load_LE;
}
