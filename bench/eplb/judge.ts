/** A planner over a sequence of windows: plans from window i are judged on window i + 1. */
import { balancednessOf } from '../../experts/placement/balance.js';
import { createPlacement } from '../../experts/placement/placement.js';
import { createPlanner, type PlannerName } from '../../experts/placement/planners/index.js';
import { median } from '../base/machine.js';
import type { LoadCase } from './loads.js';

/** Balancedness: Σ mean rank load / Σ max rank load over layers, mean over the windows. */
export interface EplbRow {
  readonly load: string;
  readonly planner: PlannerName;
  readonly layers: number;
  readonly experts: number;
  readonly slots: number;
  readonly ranks: number;
  /** Of the window that the plan was made from. */
  readonly now_even: number;
  readonly now_balanced: number;
  /** Of the next window. */
  readonly next_even: number;
  readonly next_balanced: number;
  /** Replicas that the first plan puts on other ranks than a linear placement. */
  readonly first_moved_slots: number;
  /** Of each later plan, mean. */
  readonly moved_slots: number;
  /** Median. */
  readonly plan_ms: number;
}

/** One row: the planner plans from every window but the last, each time from its placement before; the first is a linear one. */
export function judge({ name, topology, windows }: LoadCase, planner: PlannerName): EplbRow {
  const [numLayers, numExperts] = [windows[0]!.length, windows[0]![0]!.length];
  const { numRanks, numSlots } = topology;
  let placement = createPlacement('linear', { numLayers, numExperts, numRanks });
  const plans = windows.slice(1).map((next, i) => {
    const plan = createPlanner(planner).plan(windows[i]!, topology, placement);
    placement = plan.placement;
    const [even, balanced] = [balancednessOf(next, placement), balancednessOf(next, placement, 'balanced')];
    return { ...plan.report, even, balanced };
  });
  const meanOf = (value: (plan: (typeof plans)[number]) => number, from = 0): number =>
    plans.slice(from).reduce((sum, plan) => sum + value(plan), 0) / (plans.length - from);
  return {
    load: name,
    planner,
    layers: numLayers,
    experts: numExperts,
    slots: numSlots,
    ranks: numRanks,
    now_even: meanOf(({ after }) => after.even),
    now_balanced: meanOf(({ after }) => after.balanced),
    next_even: meanOf(({ even }) => even),
    next_balanced: meanOf(({ balanced }) => balanced),
    first_moved_slots: plans[0]!.numMovedSlots,
    moved_slots: meanOf(({ numMovedSlots }) => numMovedSlots, 1),
    plan_ms: median(plans.map(({ planMs }) => planMs)),
  };
}
