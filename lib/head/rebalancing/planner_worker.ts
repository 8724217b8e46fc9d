/** Plans in a thread of its own; started by planner_thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { placementFrom, type Placement } from '../../../experts/placement/placement.js';
import type { StableOptions } from '../../../experts/placement/planners/eplb_stable.js';
import { createPlanner } from '../../../experts/placement/planners/index.js';
import type { ExpertLoad, Planner, PlanReport } from '../../../experts/placement/planners/planner.js';
import type { PlanTopology } from '../../../experts/placement/planners/topology.js';
import type { ConfigPlugin } from '../../config/schema.js';
import { isOwnPlanner, plannerNamed } from '../../plugins/planners.js';

/** What the thread begins with. */
export interface PlannerWorkerData {
  readonly planner: string;
  /** One of them brings it, where it isn't there without. */
  readonly plugins: readonly ConfigPlugin[];
  /** Of `eplb_stable`. */
  readonly options: StableOptions;
}

/** To the thread. */
export interface PlanQuestion {
  readonly load_LE: ExpertLoad;
  readonly topology: PlanTopology;
  readonly current: Pick<Placement, 'version' | 'numRanks' | 'numExperts' | 'phy2log'>;
}

/** From the thread, one for each question, in their order. */
export type PlanAnswer =
  | { readonly kind: 'plan'; readonly phy2log: readonly Int32Array[]; readonly report: PlanReport }
  | { readonly kind: 'failed'; readonly message: string };

const planner = await plannerOf(workerData as PlannerWorkerData);
parentPort!.on('message', ({ load_LE, topology, current }: PlanQuestion) => {
  const { version, numRanks, numExperts, phy2log } = current;
  try {
    const { placement, report } = planner.plan(
      load_LE,
      topology,
      placementFrom(version, numRanks, numExperts, phy2log),
    );
    answer({ kind: 'plan', phy2log: placement.phy2log, report });
  } catch (error) {
    answer({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
  }
});

async function plannerOf({ planner, plugins, options }: PlannerWorkerData): Promise<Planner> {
  if (isOwnPlanner(planner)) return createPlanner(planner, options);
  const { loadPlugins } = await import('../../plugins/load_plugins.js');
  const { registry } = await loadPlugins(plugins);
  return plannerNamed(planner, registry);
}

const answer = (message: PlanAnswer): void => parentPort!.postMessage(message);
