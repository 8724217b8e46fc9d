import { expect } from 'chai';
import { worldFromEnv } from '../../../comm/index.js';
import { firstSlurmHost } from '../../../comm/job/slurm_world.js';
import { thrown } from '../../kit/errors.js';

const SLURM = { SLURM_PROCID: '5', SLURM_NTASKS: '8', SLURM_LOCALID: '1', SLURM_STEP_ID: '0' };
const OPEN_MPI = { OMPI_COMM_WORLD_RANK: '2', OMPI_COMM_WORLD_SIZE: '4', OMPI_COMM_WORLD_LOCAL_RANK: '0' };
const MPICH = { PMI_RANK: '2', PMI_SIZE: '4', MPI_LOCALRANKID: '0', MPI_LOCALNRANKS: '2' };
const TORCHRUN = { RANK: '3', WORLD_SIZE: '4', LOCAL_RANK: '1', MASTER_ADDR: '10.0.0.1', MASTER_PORT: '29500' };
const INDEXED_JOB = {
  JOB_COMPLETION_INDEX: '2',
  EXPERTWIRE_WORLD_SIZE: '4',
  EXPERTWIRE_HEAD: 'moe-0.moe',
  POD_IP: '10.1.2.3',
};
const POD = { launcher: 'kubernetes', localRank: 0, localSize: 1 };
const TORCHRUN_WORLD = { launcher: 'torchrun', rank: 3, size: 4, head: { host: '10.0.0.1', port: 29501 } };
const SLURM_WORLD = { launcher: 'slurm', rank: 5, size: 8, localRank: 1 };
const LEADER_WORKER_SET = { LWS_WORKER_INDEX: '0', LWS_GROUP_SIZE: '3', LWS_LEADER_ADDRESS: 'moe-1.moe.default' };

describe('the world of an environment', () => {
  for (const [what, env, world] of [
    ['nothing of a launcher', { HOME: '/root' }, undefined],
    ['a shell in a Slurm allocation', { SLURM_NTASKS: '1', SLURM_PROCID: '0', SLURM_JOB_NODELIST: 'n1' }, undefined],
    [
      'the batch script of a Slurm job, which no srun started',
      { SLURM_NTASKS: '4', SLURM_PROCID: '0', SLURM_LOCALID: '0', SLURM_JOB_NODELIST: 'n[1-2]' },
      undefined,
    ],
    [
      'srun of fewer tasks than the allocation has',
      { ...SLURM, SLURM_STEP_NUM_TASKS: '6' },
      { launcher: 'slurm', rank: 5, size: 6, localRank: 1 },
    ],
    ['an old srun', { ...SLURM, SLURM_STEP_ID: undefined, SLURM_STEPID: '0' }, SLURM_WORLD],
    ['srun --mpi=pmi2', { ...SLURM, PMI_RANK: '5', PMI_SIZE: '8' }, SLURM_WORLD],
    ['srun', SLURM, { launcher: 'slurm', rank: 5, size: 8, localRank: 1 }],
    [
      'srun with a node list',
      { ...SLURM, SLURM_JOB_NODELIST: 'node[01-04,07],x' },
      { launcher: 'slurm', rank: 5, size: 8, localRank: 1, head: { host: 'node01' } },
    ],
    [
      'srun on some nodes of an allocation, called elsewhere',
      { ...SLURM, SLURM_JOB_NODELIST: 'a,b,c', SLURM_STEP_NODELIST: 'b,c', SLURM_LAUNCH_NODE_IPADDR: '10.1.1.1' },
      { launcher: 'slurm', rank: 5, size: 8, localRank: 1, head: { host: 'b' } },
    ],
    [
      'srun with the launch node alone',
      { ...SLURM, SLURM_LAUNCH_NODE_IPADDR: '10.1.1.1' },
      { launcher: 'slurm', rank: 5, size: 8, localRank: 1, head: { host: '10.1.1.1' } },
    ],
    ['Open MPI', OPEN_MPI, { launcher: 'openmpi', rank: 2, size: 4, localRank: 0 }],
    ['Open MPI inside Slurm', { ...SLURM, ...OPEN_MPI }, { launcher: 'openmpi', rank: 2, size: 4, localRank: 0 }],
    ['MPICH', MPICH, { launcher: 'mpich', rank: 2, size: 4, localRank: 0, localSize: 2 }],
    [
      "MPICH inside Slurm, whose numbers are its daemons'; rank 0 is on the first host",
      { ...SLURM, SLURM_JOB_NODELIST: 'n[3-4]', SLURM_STEP_NODELIST: 'n4', ...MPICH },
      { launcher: 'mpich', rank: 2, size: 4, localRank: 0, localSize: 2, head: { host: 'n3' } },
    ],
    [
      'MPI with all ranks on one machine',
      { ...MPICH, MPI_LOCALNRANKS: '4' },
      { launcher: 'mpich', rank: 2, size: 4, localRank: 0, localSize: 4, head: { host: '127.0.0.1' } },
    ],
    [
      'torchrun, with the port after its own',
      TORCHRUN,
      { launcher: 'torchrun', rank: 3, size: 4, localRank: 1, head: { host: '10.0.0.1', port: 29501 } },
    ],
    [
      'srun with its tasks per node',
      { ...SLURM, SLURM_NODEID: '2', SLURM_TASKS_PER_NODE: '3(x2),2,1' },
      { launcher: 'slurm', rank: 5, size: 8, localRank: 1, localSize: 2 },
    ],
    [
      'srun with other tasks per node than the allocation',
      { ...SLURM, SLURM_NODEID: '1', SLURM_TASKS_PER_NODE: '9(x2)', SLURM_STEP_TASKS_PER_NODE: '4(x2)' },
      { launcher: 'slurm', rank: 5, size: 8, localRank: 1, localSize: 4 },
    ],
    [
      'Open MPI with the size of the machine',
      { ...OPEN_MPI, OMPI_COMM_WORLD_LOCAL_SIZE: '2' },
      { launcher: 'openmpi', rank: 2, size: 4, localRank: 0, localSize: 2 },
    ],
    [
      'torchrun with the size of the machine',
      { ...TORCHRUN, LOCAL_WORLD_SIZE: '2' },
      { launcher: 'torchrun', rank: 3, size: 4, localRank: 1, localSize: 2, head: { host: '10.0.0.1', port: 29501 } },
    ],
    [
      'torchrun without a local rank',
      { ...TORCHRUN, LOCAL_RANK: undefined, MASTER_PORT: undefined },
      { launcher: 'torchrun', rank: 3, size: 4, localRank: 3, head: { host: '10.0.0.1' } },
    ],
    [
      'a pod of an indexed Job, which is a machine of its own',
      INDEXED_JOB,
      { ...POD, rank: 2, size: 4, head: { host: 'moe-0.moe' }, own: '10.1.2.3' },
    ],
    [
      'the leader of a LeaderWorkerSet',
      LEADER_WORKER_SET,
      { ...POD, rank: 0, size: 3, head: { host: 'moe-1.moe.default' } },
    ],
    ['a pod of an indexed Job that is no job of ranks', { JOB_COMPLETION_INDEX: '1', POD_IP: '10.1.2.3' }, undefined],
    ['torchrun in a pod', { ...LEADER_WORKER_SET, ...TORCHRUN }, { ...TORCHRUN_WORLD, localRank: 1 }],
  ] as const) {
    it(`of ${what}`, () => expect(worldFromEnv(env)).to.deep.equal(world));
  }

  for (const [name, env] of [
    ['SLURM_PROCID', { ...SLURM, SLURM_PROCID: 'x' }],
    ['SLURM_NTASKS', { ...SLURM, SLURM_NTASKS: undefined }],
    ['SLURM_JOB_NODELIST', { ...SLURM, SLURM_JOB_NODELIST: '' }],
    ['OMPI_COMM_WORLD_RANK', { ...OPEN_MPI, OMPI_COMM_WORLD_RANK: '-1' }],
    ['PMI_SIZE', { ...MPICH, PMI_SIZE: '' }],
    ['MPI_LOCALRANKID', { ...MPICH, MPI_LOCALRANKID: 'x' }],
    ['SLURM_STEP_NUM_TASKS', { ...SLURM, SLURM_STEP_NUM_TASKS: 'x' }],
    ['OMPI_COMM_WORLD_RANK', { ...OPEN_MPI, OMPI_COMM_WORLD_RANK: '4' }],
    ['WORLD_SIZE', { ...TORCHRUN, WORLD_SIZE: '4.5' }],
    ['LOCAL_RANK', { ...TORCHRUN, LOCAL_RANK: '' }],
    ['SLURM_TASKS_PER_NODE', { ...SLURM, SLURM_NODEID: '2', SLURM_TASKS_PER_NODE: '4(x2)' }],
    ['SLURM_TASKS_PER_NODE', { ...SLURM, SLURM_NODEID: '0', SLURM_TASKS_PER_NODE: 'many' }],
    ['LOCAL_WORLD_SIZE', { ...TORCHRUN, LOCAL_WORLD_SIZE: 'x' }],
    ['JOB_COMPLETION_INDEX', { ...INDEXED_JOB, JOB_COMPLETION_INDEX: '4' }],
    ['EXPERTWIRE_WORLD_SIZE', { ...INDEXED_JOB, EXPERTWIRE_WORLD_SIZE: 'two' }],
    ['EXPERTWIRE_HEAD', { ...INDEXED_JOB, EXPERTWIRE_HEAD: '' }],
    ['LWS_LEADER_ADDRESS', { ...LEADER_WORKER_SET, LWS_LEADER_ADDRESS: undefined }],
    ['MASTER_PORT', { ...TORCHRUN, MASTER_PORT: '70000' }],
  ] as const) {
    it(`names ${name} when it is malformed (${String((env as Record<string, unknown>)[name])})`, () => {
      expect(thrown(() => worldFromEnv(env), 'INVALID_ARGUMENT').message).to.contain(name);
    });
  }

  for (const [list, host] of [
    ['x', 'x'],
    ['gpu-3,gpu-4', 'gpu-3'],
    ['node[01-04,07],x', 'node01'],
    ['rack[2,5]-ib', 'rack2-ib'],
    ['n[10]', 'n10'],
  ] as const) {
    it(`the first host of ${list} is ${host}`, () => expect(firstSlurmHost(list)).to.equal(host));
  }
});
