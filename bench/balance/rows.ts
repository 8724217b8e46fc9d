/** From the runs of all rounds to a row of figures per variant. Pure. */
import { rankLoads } from '../../experts/placement/balance.js';
import type { Placement } from '../../experts/placement/placement.js';
import type { ExpertLoad } from '../../experts/placement/planners/planner.js';
import type { ReplicaChoice } from '../../experts/placement/replica_choice.js';
import { median } from '../base/machine.js';
import { gainOf, shareReached, type Gain } from './rounds.js';
import type { Run } from './run.js';
import type { Variant } from './variants.js';

/**
 * What speed is told by. `throughput`: tokens/s as measured. `rank_costs`: where ranks share cores, what ranks on machines of their own would take,
 * from what each rank's work cost.
 */
export type SpeedFrom = 'throughput' | 'rank_costs';

/** Figures of one placement and choice; medians over the rounds. Gains are against `off` of the same round. */
export interface BalanceRow {
  readonly placement: Variant['name'];
  readonly choice: ReplicaChoice;
  /** Σ over layers of mean / max rank load, were the whole run one batch. */
  readonly planned_balancedness: number;
  /** The same of what ranks computed, with the maximum of each step. */
  readonly measured_balancedness: number;
  /** Makespan of `off` / this one's, were the whole run one batch. */
  readonly planned_gain: number;
  /** The same, the makespan being Σ over steps and layers of the busiest rank's rows: what experts alone would gain. */
  readonly predicted_gain: number;
  readonly throughput_gain: Gain;
  readonly rank_cost_gain: Gain;
  /** (gain − 1) / (predicted gain − 1), of the gain that {@link SpeedFrom} names; null where nothing was to be gained. */
  readonly reached: number | null;
  /** Prompt tokens and new ones. */
  readonly tokens_per_s: number;
  /** Mean over ranks. */
  readonly experts_ms: number;
  /** Per MoE layer and step, mean over ranks. */
  readonly choose_us: number;
}

/** `off` and `runs`: of the same rounds. */
export function rowOf(
  { name, choice, placement }: Variant,
  runs: readonly Run[],
  off: { readonly placement: Placement; readonly runs: readonly Run[] },
  speedFrom: SpeedFrom,
): BalanceRow {
  const { load_LE } = off.runs[0]!;
  const of = (key: Exclude<keyof Run, 'load_LE'>): number => median(runs.map((run) => run[key]));
  const gain = (key: 'elapsedMs' | 'makespan' | 'parallelMs'): Gain =>
    gainOf(
      off.runs.map((run) => run[key]),
      runs.map((run) => run[key]),
    );
  const meanLoad = load_LE.flatMap((load_E) => Array.from(load_E)).reduce((a, b) => a + b, 0) / placement.numRanks;
  const planned = makespanOf(load_LE, placement, choice);
  const { median: predicted } = gain('makespan');
  const gains = { throughput: gain('elapsedMs'), rank_costs: gain('parallelMs') };
  return {
    ...{ placement: name, choice },
    planned_balancedness: meanLoad / planned,
    measured_balancedness: meanLoad / of('makespan'),
    planned_gain: makespanOf(load_LE, off.placement, choice) / planned,
    predicted_gain: predicted,
    throughput_gain: gains.throughput,
    rank_cost_gain: gains.rank_costs,
    reached: shareReached(predicted, gains[speedFrom].median),
    tokens_per_s: median(runs.map(({ numTokens, elapsedMs }) => (1000 * numTokens) / elapsedMs)),
    experts_ms: of('expertsMs'),
    choose_us: of('chooseUs'),
  };
}

/** Σ over layers of the highest rank load. */
function makespanOf(load_LE: ExpertLoad, placement: Placement, choice: ReplicaChoice): number {
  const split = choice === 'balanced' || choice === 'allgather' ? 'balanced' : 'even';
  return load_LE.reduce((sum, load_E, layer) => sum + Math.max(...rankLoads(load_E, placement, layer, split)), 0);
}
