import type { Rank } from '../../base/ids.js';

/** This process's place in a job that a launcher started. */
export interface World {
  readonly launcher: 'slurm' | 'openmpi' | 'mpich' | 'torchrun' | 'kubernetes';
  readonly rank: Rank;
  readonly size: number;
  /** Index among the processes of this machine. */
  readonly localRank: number;
  /** How many those are, if the launcher tells. */
  readonly localSize?: number;
  /** Where rank 0 runs, if the launcher tells. MPI does only where all ranks run on one machine, or in an allocation of Slurm. */
  readonly head?: { readonly host: string; readonly port?: number };
  /** This process's own address, if the launcher tells: where rank 0 listens while its name isn't known yet. */
  readonly own?: string;
}
