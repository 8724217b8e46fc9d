/** What `expertwire plan` compares its plan with. Shape suffixes: L MoE layers, R ranks. */
import { rankLoads } from '../../../experts/placement/balance.js';
import { createPlacement, type Placement } from '../../../experts/placement/placement.js';
import type { ExpertLoad } from '../../../experts/placement/planners/planner.js';
import type { RecordedRun } from '../../../experts/load/recorded_run.js';
import type { ReplicaSplit } from '../../../experts/placement/replica_split.js';
import { readPlacementFile } from '../../config/placement_file.js';
import { UsageError } from '../base/context.js';
import type { LoadFile } from './load_file.js';

/** [L][R], by how load is shared out over replicas. */
export type LoadBySplit = Readonly<Record<ReplicaSplit, readonly ArrayLike<number>[]>>;

/** What the plan is held against. */
export interface Before {
  /** What the planner starts from; of a recorded run, the last placement. */
  readonly placement: Placement;
  /** Of the whole load; of a recorded run, under the placements that ran. */
  readonly rankLoad: LoadBySplit;
  /** A word or two, for a caption. */
  readonly name: string;
  /** Which placement this is, and why. */
  readonly text: string;
}

/**
 * The placement of a file; else what the recording ran with; else a linear one, which is said to be assumed.
 * @param current the file
 * @throws UsageError for a file that doesn't fit the load
 */
export async function beforePlan(
  current: string | undefined,
  { load_LE, run }: LoadFile,
  numRanks: number,
): Promise<Before> {
  const shape = { numLayers: load_LE.length, numExperts: load_LE.map(({ length }) => length), numRanks };
  if (current !== undefined) {
    const placement = await readPlacementFile(current, shape, (message) => {
      throw new UsageError(`--current: ${message}`);
    });
    return { placement, rankLoad: rankLoadBySplit(load_LE, placement), name: current, text: current };
  }
  if (run?.placement.numRanks === numRanks) {
    return {
      placement: run.placement,
      rankLoad: run.rankLoad,
      name: 'as recorded',
      text: `as recorded, ${textOf(run)}`,
    };
  }
  const placement = createPlacement('linear', shape);
  const why =
    run === null
      ? "the load doesn't say which placement ran"
      : `the recording ran on ${run.placement.numRanks} ${run.placement.numRanks === 1 ? 'rank' : 'ranks'}`;
  const text = `linear, one replica (assumed: ${why})`;
  return { placement, rankLoad: rankLoadBySplit(load_LE, placement), name: 'linear', text };
}

/** What each rank would carry of a load under one placement, for every way to share it out. */
export function rankLoadBySplit(load_LE: ExpertLoad, placement: Placement): LoadBySplit {
  const of = (split: ReplicaSplit): Float64Array[] =>
    load_LE.map((load_E, layer) => rankLoads(load_E, placement, layer, split));
  return { even: of('even'), balanced: of('balanced') };
}

const textOf = ({ placement: { version }, numPlacements }: RecordedRun): string =>
  numPlacements === 1
    ? `placement version ${version}`
    : `${numPlacements} placements one after the other, the last one version ${version}`;
