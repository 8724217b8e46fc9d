/** Rank and size as a launcher tells them through the environment: pure, the caller passes the environment in. */
import { podPlace } from './kubernetes_world.js';
import { firstSlurmHost, slurmWorld } from './slurm_world.js';
import type { World } from './task_world.js';
import { localSizeOf, numberOf, ranksOf, type RankNames, type TaskEnv } from './world_numbers.js';

export type { World } from './task_world.js';

/** Of a launcher of MPI, with the variable that says how many ranks are on this machine. */
type MpiNames = RankNames & { readonly launcher: 'openmpi' | 'mpich'; readonly localSize: string };

const OPEN_MPI: MpiNames = {
  launcher: 'openmpi',
  rank: 'OMPI_COMM_WORLD_RANK',
  size: 'OMPI_COMM_WORLD_SIZE',
  localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
  localSize: 'OMPI_COMM_WORLD_LOCAL_SIZE',
};

/** Hydra: mpiexec of MPICH, Intel MPI and MVAPICH. */
const MPICH: MpiNames = {
  launcher: 'mpich',
  rank: 'PMI_RANK',
  size: 'PMI_SIZE',
  localRank: 'MPI_LOCALRANKID',
  localSize: 'MPI_LOCALNRANKS',
};

/**
 * The world of `env`, or undefined when no launcher started this process. In an allocation of Slurm, launchers of MPI start what starts the tasks by srun: then
 * Slurm's numbers are those of their daemons.
 * @throws CommError INVALID_ARGUMENT naming the variable.
 */
export function worldFromEnv(env: TaskEnv): World | undefined {
  if (env.OMPI_COMM_WORLD_SIZE !== undefined) return mpiWorld(env, OPEN_MPI);
  if (env.WORLD_SIZE !== undefined && env.RANK !== undefined) return torchrunWorld(env);
  // srun --mpi=pmi2 sets PMI_RANK too, but nothing of the machine.
  if (env.PMI_RANK !== undefined && env.MPI_LOCALRANKID !== undefined) return mpiWorld(env, MPICH);
  return slurmWorld(env) ?? podWorld(env);
}

function mpiWorld(env: TaskEnv, { launcher, localSize, ...names }: MpiNames): World {
  const ranks = { ...ranksOf(env, names), ...localSizeOf(env, localSize) };
  const host = ranks.localSize === ranks.size ? '127.0.0.1' : allocatedHost(env);
  return { launcher, ...ranks, ...(host === undefined ? {} : { head: { host } }) };
}

/** Rank 0 is on the first host of an allocation. */
const allocatedHost = (env: TaskEnv): string | undefined =>
  env.SLURM_JOB_NODELIST === undefined ? undefined : firstSlurmHost(env.SLURM_JOB_NODELIST);

function torchrunWorld(env: TaskEnv): World {
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
function podWorld(env: TaskEnv): World | undefined {
  const place = podPlace(env);
  if (place === undefined) return undefined;
  const { rank, size } = ranksOf(env, place.names);
  const own = place.own === undefined || place.own === '' ? {} : { own: place.own };
  return { launcher: 'kubernetes', rank, size, localRank: 0, localSize: 1, head: { host: place.head }, ...own };
}
