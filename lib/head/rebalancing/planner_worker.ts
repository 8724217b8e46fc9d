/** Plans in a thread of its own; started by planner_thread. */
import { parentPort, workerData } from 'node:worker_threads';
import { placementFrom } from '../../../experts/placement/placement.js';
import { createPlanner } from '../../../experts/placement/planners/index.js';
import type { PlanAnswer, PlannerWorkerData, PlanQuestion } from './planner_thread.js';

const { planner: name, options } = workerData as PlannerWorkerData;
const planner = createPlanner(name, options);
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

const answer = (message: PlanAnswer): void => parentPort!.postMessage(message);
