/** Rank and size as a launcher tells them through the environment: pure, the caller passes the environment in. */
import { CommError } from '../base/errors.js';
import { asRank, type Rank } from '../../base/ids.js';
import { podPlace } from './kubernetes_world.js';

type Env = Readonly<Record<string, string | undefined>>;

/** This process's place in a job that a launcher started. */
export interface World {
  readonly launcher: 'slurm' | 'openmpi' | 'torchrun' | 'kubernetes';
  readonly rank: Rank;
  readonly size: number;
  /** Index among the processes of this machine. */
  readonly localRank: number;
  /** How many those are, if the launcher tells. */
  readonly localSize?: number;
  /** Where rank 0 runs, if the launcher tells. Open MPI doesn't. */
  readonly head?: { readonly host: string; readonly port?: number };
  /** This process's own address, if the launcher tells: where rank 0 listens while its name isn't known yet. */
  readonly own?: string;
}

/** The world of `env`, or undefined when no launcher started this process. @throws CommError INVALID_ARGUMENT naming the variable. */
export function worldFromEnv(env: Env): World | undefined {
  if (env.OMPI_COMM_WORLD_SIZE !== undefined) return openMpiWorld(env);
  if (env.WORLD_SIZE !== undefined && env.RANK !== undefined) return torchrunWorld(env);
  // A shell inside an allocation has Slurm's variables too; only a job step (srun) gives each task a rank.
  if (env.SLURM_PROCID !== undefined && isSlurmStep(env)) return slurmWorld(env);
  return podWorld(env);
}

/** The first host of a Slurm node list: `node[01-04,07],x` → `node01`. */
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

function isSlurmStep(env: Env): boolean {
  return env.SLURM_STEP_ID !== undefined || Number(env.SLURM_NTASKS) > 1;
}

function slurmWorld(env: Env): World {
  const nodeList = env.SLURM_STEP_NODELIST ?? env.SLURM_JOB_NODELIST;
  // Task 0 runs on the first host of the list; srun itself may have been called on a login node.
  const host = nodeList === undefined ? env.SLURM_LAUNCH_NODE_IPADDR : firstSlurmHost(nodeList);
  const ranks = ranksOf(env, { rank: 'SLURM_PROCID', size: 'SLURM_NTASKS', localRank: 'SLURM_LOCALID' });
  return { launcher: 'slurm', ...ranks, ...slurmLocalSize(env), ...(host === undefined ? {} : { head: { host } }) };
}

function openMpiWorld(env: Env): World {
  const names = {
    rank: 'OMPI_COMM_WORLD_RANK',
    size: 'OMPI_COMM_WORLD_SIZE',
    localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
  };
  return { launcher: 'openmpi', ...ranksOf(env, names), ...localSizeOf(env, 'OMPI_COMM_WORLD_LOCAL_SIZE') };
}

function torchrunWorld(env: Env): World {
  const names = { rank: 'RANK', size: 'WORLD_SIZE', localRank: 'LOCAL_RANK' };
  const ranks = { ...ranksOf(env, names), ...localSizeOf(env, 'LOCAL_WORLD_SIZE') };
  const host = env.MASTER_ADDR;
  if (host === undefined) return { launcher: 'torchrun', ...ranks };
  if (env.MASTER_PORT === undefined) return { launcher: 'torchrun', ...ranks, head: { host } };
  // torchrun itself listens on MASTER_PORT.
  const port = numberOf(env, 'MASTER_PORT', 65534) + 1;
  return { launcher: 'torchrun', ...ranks, head: { host, port } };
}

/** One rank in each pod, which is a machine of its own. */
function podWorld(env: Env): World | undefined {
  const place = podPlace(env);
  if (place === undefined) return undefined;
  const { rank, size } = ranksOf(env, place.names);
  const own = place.own === undefined || place.own === '' ? {} : { own: place.own };
  return { launcher: 'kubernetes', rank, size, localRank: 0, localSize: 1, head: { host: place.head }, ...own };
}

/** `2(x3),1`: two tasks on each of three nodes, one on the fourth. */
function slurmLocalSize(env: Env): Pick<World, 'localSize'> {
  const name = env.SLURM_STEP_TASKS_PER_NODE === undefined ? 'SLURM_TASKS_PER_NODE' : 'SLURM_STEP_TASKS_PER_NODE';
  const text = env[name];
  if (text === undefined || env.SLURM_NODEID === undefined) return {};
  const sizes = text.split(',').flatMap((part) => {
    const [, tasks, nodes = '1'] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part) ?? [];
    return new Array<number>(Math.min(Number(nodes), 65535)).fill(Number(tasks));
  });
  const localSize = sizes[numberOf(env, 'SLURM_NODEID', 65534)];
  if (localSize !== undefined && localSize > 0) return { localSize };
  const message = `${name} is '${text}', which has no tasks for node ${env.SLURM_NODEID}; expected numbers like 2(x3),1`;
  throw new CommError('INVALID_ARGUMENT', message);
}

const localSizeOf = (env: Env, name: string): Pick<World, 'localSize'> =>
  env[name] === undefined ? {} : { localSize: numberOf(env, name, 65535) };

function ranksOf(
  env: Env,
  names: Readonly<Record<'rank' | 'size' | 'localRank', string>>,
): Pick<World, 'rank' | 'size' | 'localRank'> {
  const size = numberOf(env, names.size, 65535);
  const rank = numberOf(env, names.rank, 65534);
  const localRank = env[names.localRank] === undefined ? rank : numberOf(env, names.localRank, 65534);
  if (rank >= size) {
    const message = `${names.rank} is ${rank} but ${names.size} is ${size}; start every task with the same launcher`;
    throw new CommError('INVALID_ARGUMENT', message);
  }
  return { rank: asRank(rank), size, localRank };
}

function numberOf(env: Env, name: string, max: number): number {
  const text = env[name];
  const value = Number(text);
  if (text !== undefined && /^\d+$/.test(text) && value <= max) return value;
  const found = text === undefined ? 'not set' : `'${text}'`;
  throw new CommError('INVALID_ARGUMENT', `${name} is ${found}; the launcher sets an integer from 0 to ${max}`);
}
