/** The same prompts on every variant, in rounds. */
import { mostOf } from '../../experts/placement/expert_counts.js';
import { createPlacement, type Placement } from '../../experts/placement/placement.js';
import { createPlanner } from '../../experts/placement/planners/index.js';
import type { ExpertLoad } from '../../experts/placement/planners/planner.js';
import type { ReplicaChoice } from '../../experts/placement/replica_choice.js';
import { inTurn } from './rounds.js';
import { rowOf, type BalanceRow, type SpeedFrom } from './rows.js';
import { runOnce, type Run, type RunShape } from './run.js';
import {
  PLANNED,
  startEngine,
  VariantEngines,
  type EngineSetup,
  type RunningVariant,
  type Variant,
} from './variants.js';

/** What is run on which engines, how often, and with which ways to choose replicas. */
export interface BalanceOptions extends RunShape, EngineSetup {
  /** Default: experts + a quarter, rounded down to a multiple of the ranks, as `eplb` needs it. */
  readonly numSlots: number | undefined;
  readonly choices: readonly ReplicaChoice[];
  /** In each, every variant runs once. */
  readonly rounds: number;
  /** Engines end after their turn: less memory, more time. */
  readonly reopen: boolean;
}

/** What was measured: a row per placement and replica choice, `off` first, and from which figures speed is told. */
export interface Balance {
  readonly numSlots: number;
  readonly speedFrom: SpeedFrom;
  readonly rows: readonly BalanceRow[];
}

/** @param numCores of this machine */
export async function measureAll(options: BalanceOptions, numCores: number, signal: AbortSignal): Promise<Balance> {
  const { plannedFrom, current } = await firstLoad(options, signal);
  const numSlots = options.numSlots ?? defaultSlots(mostOf(current.numExperts), options.ranks);
  const variants = variantsOf(options, numSlots, plannedFrom, current);
  const runs = await runRounds(variants, options, signal);
  const speedFrom = options.ranks > numCores ? 'rank_costs' : 'throughput';
  const off = { placement: variants[0]!.placement, runs: runs.get(variants[0]!)! };
  const rows = variants.map((variant) => rowOf(variant, runs.get(variant)!, off, speedFrom));
  return { numSlots, speedFrom, rows };
}

/** The load that placements are planned from: that of the first half of the traffic. */
async function firstLoad(
  options: BalanceOptions,
  signal: AbortSignal,
): Promise<{ readonly plannedFrom: ExpertLoad; readonly current: Placement }> {
  const { engine, loads } = await startEngine(options, [], signal);
  try {
    const { load_LE: plannedFrom } = await runOnce(engine, loads, options, 0, signal);
    return { plannedFrom, current: engine.placement };
  } finally {
    await engine.close();
  }
}

/** `off` first. */
function variantsOf(
  { ranks: numRanks, choices }: BalanceOptions,
  numSlots: number,
  load_LE: ExpertLoad,
  current: Placement,
): Variant[] {
  const shape = { numLayers: load_LE.length, numExperts: current.numExperts, numRanks };
  const off: Variant = { name: 'off', choice: choices[0]!, placement: createPlacement('linear', shape) };
  const planned = PLANNED.flatMap((name) => {
    const { placement } = createPlanner(name).plan(load_LE, { numRanks, numSlots }, current);
    return choices.map((choice): Variant => ({ name, choice, placement }));
  });
  return [off, ...planned];
}

/** The runs of each variant, one per round, of the second half of the traffic. */
async function runRounds(
  variants: readonly Variant[],
  options: BalanceOptions,
  signal: AbortSignal,
): Promise<ReadonlyMap<Variant, readonly Run[]>> {
  const runs = new Map(variants.map((variant) => [variant, [] as Run[]]));
  const engines = await VariantEngines.create(options, signal);
  const run = ({ engine, loads }: RunningVariant): Promise<Run> => runOnce(engine, loads, options, 1, signal);
  const warmUp = async (running: RunningVariant): Promise<void> => {
    for (let i = 0; i < NUM_WARM_UPS; i++) await run(running);
  };
  try {
    // All of them before the first round: starting one would be in the way of the others.
    if (!options.reopen) for (const variant of variants) await engines.get(variant, warmUp);
    for (let round = 0; round < options.rounds; round++) {
      for (const variant of inTurn(variants, round)) {
        runs.get(variant)!.push(await run(await engines.get(variant, warmUp)));
        if (options.reopen) await engines.stop();
      }
    }
  } finally {
    await engines.close();
  }
  return runs;
}

const NUM_WARM_UPS = 2;

const defaultSlots = (numExperts: number, numRanks: number): number =>
  Math.max(Math.floor((1.25 * numExperts) / numRanks), Math.ceil(numExperts / numRanks)) * numRanks;
