/** `measure: simulation`: a planner over windows of load, each carried by what was planned from those before. Shape suffixes: L MoE layers, E logical experts. */
import { createHash } from 'node:crypto';
import { balancednessOfSums, balanceSums, rankLoads, type BalanceSums } from '../../experts/placement/balance.js';
import { createPlacement, type Placement } from '../../experts/placement/placement.js';
import type { ExpertLoad, Planner } from '../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../experts/placement/planners/topology.js';
import type { ReplicaSplit } from '../../experts/placement/replica_split.js';
import { slicedLoad } from '../../experts/placement/slices.js';
import { readPlacement } from '../../lib/config/placement_file.js';
import type { Metrics } from '../../lib/experiment/base/metric.js';
import { simulatedSlices, simulationOf, type SimulationSettings } from '../../lib/experiment/measures/simulation.js';
import { numSlotsOf } from '../../lib/head/rebalancing/planner_check.js';
import { pluginsOf } from '../../lib/head/opened_model.js';
import { plannerNamed } from '../../lib/plugins/planners.js';
import { median } from '../base/machine.js';
import type { Details } from './base/details.js';
import type { Measure } from './base/measure.js';
import { windowsOf } from './base/windows.js';

/** Errors as those of planners, plug-ins and recordings. */
export const measureSimulation: Measure = async (run, { signal }) => {
  const { config, seed } = run;
  const { load, settings } = simulationOf(run);
  const numRanks = config.parallel.ranks;
  const numSlices = simulatedSlices(config);
  const windows = (await windowsOf(load, numRanks, seed)).map((load_LE) => slicedLoad(load_LE, numSlices));
  const shape = { numLayers: windows[0]!.length, numExperts: windows[0]!.map(({ length }) => length), numRanks };
  const first = await readPlacement(config.experts, shape);
  const { registry } = await pluginsOf(config.plugins);
  const plans = judged({
    ...{ windows, first, settings, minGain: config.load_balance.min_gain, signal },
    planner: plannerNamed(config.load_balance.planner, registry),
    topology: { numRanks, numSlots: numSlotsOf(first), numNodes: config.comm.num_nodes, numGroups: load.groups },
    split: splitOf(config.experts.replica_choice),
  });
  return {
    metrics: metricsOf(plans, createPlacement('linear', shape), load.expert_bytes && load.expert_bytes / numSlices),
    details: detailsOf(plans),
    backend: null,
  };
};

/** How a way to choose replicas shares out the load of a window. */
const splitOf = (choice: string): ReplicaSplit =>
  choice === 'balanced' || choice === 'allgather' ? 'balanced' : 'even';

interface Simulated {
  readonly windows: readonly ExpertLoad[];
  readonly first: Placement;
  readonly planner: Planner;
  readonly topology: PlanTopology;
  readonly split: ReplicaSplit;
  readonly settings: SimulationSettings;
  readonly minGain: number;
  readonly signal: AbortSignal;
}

/** A window that was carried, and the plan of those before it. */
interface Judged {
  readonly load_LE: ExpertLoad;
  readonly placement: Placement;
  readonly split: ReplicaSplit;
  /** Under the placement, the one that nothing moved, and of the window before it under the placement. */
  readonly sums: Readonly<Record<'next' | 'first' | 'now', BalanceSums>>;
  /** Null: nothing was planned before it. */
  readonly planMs: number | null;
  readonly isCarriedOut: boolean;
  readonly numMovedSlots: number;
}

function judged(simulated: Simulated): Judged[] {
  const { windows, first, planner, topology, split, settings, minGain, signal } = simulated;
  let placement = first;
  return windows.slice(1).map((next, i) => {
    signal.throwIfAborted();
    const now = windows[i]!;
    const isPlanned = settings.replan !== 'once' || i === 0;
    const plan = isPlanned ? planner.plan(now, topology, placement) : null;
    const { before, after, planMs = null, numMovedSlots = 0 } = plan?.report ?? {};
    const gains = settings.replan !== 'gain' || (after?.[split] ?? 0) - (before?.[split] ?? 0) >= minGain;
    const isCarriedOut = plan !== null && gains && plan.placement !== placement;
    if (isCarriedOut) placement = plan.placement;
    const sumsOf = (load_LE: ExpertLoad, of: Placement): BalanceSums => balanceSums(loadsOf(load_LE, of, split));
    const sums = { next: sumsOf(next, placement), first: sumsOf(next, first), now: sumsOf(now, placement) };
    return {
      load_LE: next,
      placement,
      split,
      sums,
      planMs,
      isCarriedOut,
      numMovedSlots: isCarriedOut ? numMovedSlots : 0,
    };
  });
}

const loadsOf = (load_LE: ExpertLoad, placement: Placement, split: ReplicaSplit): Float64Array[] =>
  load_LE.map((load_E, layer) => rankLoads(load_E, placement, layer, split));

function metricsOf(plans: readonly Judged[], linear: Placement, expertBytes: number | null): Metrics {
  const balance = (which: keyof Judged['sums']): number =>
    balancednessOfSums(summed(plans.map(({ sums }) => sums[which])));
  const planMs = plans.flatMap((plan) => plan.planMs ?? []);
  const moved = plans.filter(({ isCarriedOut }) => isCarriedOut).map(({ numMovedSlots }) => numMovedSlots);
  const later = moved.slice(plans[0]!.isCarriedOut ? 1 : 0);
  const numMoved = moved.reduce((sum, count) => sum + count, 0);
  const alone = summed(plans.map(({ load_LE, split }) => balanceSums(loadsOf(load_LE, linear, split))));
  const { maxLoad } = summed(plans.map(({ sums }) => sums.next));
  return {
    balancedness: balance('next'),
    balancedness_now: balance('now'),
    balancedness_first: balance('first'),
    predicted_gain: maxLoad === 0 ? 1 : alone.maxLoad / maxLoad,
    moved_slots: later.length === 0 ? 0 : later.reduce((sum, count) => sum + count, 0) / later.length,
    first_moved_slots: plans[0]!.numMovedSlots,
    moved_bytes: expertBytes === null ? null : numMoved * expertBytes,
    plans: moved.length,
    slots_per_rank: Math.max(...plans.map(({ placement }) => placement.slotsPerRank)),
    plan_p50_ms: median(planMs),
    plan_max_ms: Math.max(...planMs),
    placements_sha256: hashOf(plans),
  };
}

const summed = (sums: readonly BalanceSums[]): BalanceSums => ({
  meanLoad: sums.reduce((sum, { meanLoad }) => sum + meanLoad, 0),
  maxLoad: sums.reduce((sum, { maxLoad }) => sum + maxLoad, 0),
});

function hashOf(plans: readonly Judged[]): string {
  const hash = createHash('sha256');
  for (const { placement } of plans) for (const table of placement.phy2log) hash.update(`${table.join(',')};`);
  return hash.digest('hex');
}

/** A window stands where others have a step. */
function detailsOf(plans: readonly Judged[]): Details {
  const last = plans.at(-1)!;
  return {
    expert_load: last.load_LE.map((load_E) => Array.from(load_E)),
    rank_load: loadsOf(last.load_LE, last.placement, last.split).map((load_R) => [...load_R]),
    balance_over_time: plans.map(({ sums }, i) => ({
      ...{ step: i + 1, num_steps: 1, mean_load: sums.next.meanLoad, max_load: sums.next.maxLoad },
    })),
    rebalances: plans.flatMap(({ isCarriedOut }, i) => (isCarriedOut ? [i + 1] : [])),
    windows: plans.map(({ sums, planMs, numMovedSlots }, i) => ({
      ...{
        window: i + 1,
        balancedness: balancednessOfSums(sums.next),
        balancedness_first: balancednessOfSums(sums.first),
      },
      ...{ plan_ms: planMs, moved_slots: numMovedSlots },
    })),
  };
}
