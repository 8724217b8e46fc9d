/** The tasks of a node's shards. */
import type { JobNode } from '../base/job.js';
import type { Blobs, QueuedTask } from '../base/job_bus.js';
import { readPlan } from '../base/plan_blob.js';
import type { JobRun } from '../base/run.js';
import { taskId } from '../decisions/ids.js';
import { workerOf, type Placement } from '../decisions/placement.js';
import { taskOf } from '../decisions/shards.js';

/** Of these shards; `placed` null: whoever is free first gets them. @throws JobError NOT_ALLOWED, BROKEN_RECORD, BUS_FAILED */
export async function nodeTasks(
  blobs: Blobs,
  run: JobRun,
  node: JobNode,
  indices: readonly number[],
  placed: Placement | null,
): Promise<readonly QueuedTask[]> {
  const planned = node.work.kind === 'experiment' ? (await readPlan(blobs, node.work.plan)).runs : [];
  return indices.map((index) => {
    const task = taskOf(run, node, index, planned);
    return {
      id: taskId(task.key, placed?.moves[index] ?? 0),
      to: placed === null ? null : workerOf(placed, index),
      task,
    };
  });
}
