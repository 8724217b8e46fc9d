/** What Slurm tells its tasks: pure. */
import { CommError } from '../base/errors.js';
import { numberOf, ranksOf, type TaskEnv } from './world_numbers.js';
import type { World } from './task_world.js';

/**
 * Of a task of a job step; undefined elsewhere. The batch script and a shell inside an allocation have most of Slurm's variables too, but only a step (srun) gives each task a rank.
 * @throws CommError INVALID_ARGUMENT naming the variable
 */
export function slurmWorld(env: TaskEnv): World | undefined {
  if (env.SLURM_PROCID === undefined || (env.SLURM_STEP_ID ?? env.SLURM_STEPID) === undefined) return undefined;
  const nodeList = env.SLURM_STEP_NODELIST ?? env.SLURM_JOB_NODELIST;
  // Task 0 runs on the first host of the list; srun itself may have been called on a login node.
  const host = nodeList === undefined ? env.SLURM_LAUNCH_NODE_IPADDR : firstSlurmHost(nodeList);
  // Within a step, SLURM_NTASKS may still be that of the allocation.
  const size = env.SLURM_STEP_NUM_TASKS === undefined ? 'SLURM_NTASKS' : 'SLURM_STEP_NUM_TASKS';
  const ranks = ranksOf(env, { rank: 'SLURM_PROCID', size, localRank: 'SLURM_LOCALID' });
  return { launcher: 'slurm', ...ranks, ...localSize(env), ...(host === undefined ? {} : { head: { host } }) };
}

/** The first host of a Slurm node list: `node[01-04,07],x` → `node01`. @throws CommError INVALID_ARGUMENT */
export function firstSlurmHost(nodeList: string): string {
  const [, prefix = '', ranges, suffix = ''] = /^([^,[\]]*)(?:\[([^\]]*)\]([^,[\]]*))?/.exec(nodeList) ?? [];
  const first = ranges === undefined ? '' : /^[^,-]*/.exec(ranges)![0];
  const host = prefix + first + suffix;
  if (host === '' || (ranges !== undefined && first === '')) {
    throw new CommError(
      'INVALID_ARGUMENT',
      `SLURM_JOB_NODELIST is '${nodeList}'; expected host names like node[01-04]`,
    );
  }
  return host;
}

/** `2(x3),1`: two tasks on each of three nodes, one on the fourth. */
function localSize(env: TaskEnv): Pick<World, 'localSize'> {
  const name = env.SLURM_STEP_TASKS_PER_NODE === undefined ? 'SLURM_TASKS_PER_NODE' : 'SLURM_STEP_TASKS_PER_NODE';
  const text = env[name];
  if (text === undefined || env.SLURM_NODEID === undefined) return {};
  const sizes = text.split(',').flatMap((part) => {
    const [, tasks, nodes = '1'] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part) ?? [];
    return new Array<number>(Math.min(Number(nodes), 65535)).fill(Number(tasks));
  });
  const size = sizes[numberOf(env, 'SLURM_NODEID', 65534)];
  if (size !== undefined && size > 0) return { localSize: size };
  const message = `${name} is '${text}', which has no tasks for node ${env.SLURM_NODEID}; expected numbers like 2(x3),1`;
  throw new CommError('INVALID_ARGUMENT', message);
}
