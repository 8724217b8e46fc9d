import { expect } from 'chai';
import { CommError } from '../../../comm/base/errors.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { launchPlan, type LaunchArgs } from '../../../lib/commands/launch.js';

const COMMAND = ['generate', '--model', 'DIR'];
const HEAD = '10.0.0.1:7000';

const plan = (args: Partial<LaunchArgs>, env: Record<string, string> = {}): string =>
  launchPlan({ command: COMMAND, ...args }, env).join(' ');

const slurm = (rank: number, more: Record<string, string> = {}): Record<string, string> => ({
  SLURM_PROCID: String(rank),
  SLURM_NTASKS: '4',
  SLURM_LOCALID: '0',
  SLURM_STEP_ID: '0',
  SLURM_JOB_NODELIST: 'node[03-06]',
  ...more,
});
const openMpi = (rank: number): Record<string, string> => ({
  OMPI_COMM_WORLD_RANK: String(rank),
  OMPI_COMM_WORLD_SIZE: '4',
  OMPI_COMM_WORLD_LOCAL_RANK: '0',
});
const torchrun = (rank: number): Record<string, string> => ({
  RANK: String(rank),
  WORLD_SIZE: '4',
  LOCAL_RANK: '0',
  MASTER_ADDR: 'node03',
  MASTER_PORT: '29500',
});
const pod = (index: number, more: Record<string, string> = {}): Record<string, string> => ({
  JOB_COMPLETION_INDEX: String(index),
  EXPERTWIRE_WORLD_SIZE: '2',
  EXPERTWIRE_HEAD: 'moe-0.moe',
  ...more,
});

describe('launchPlan', () => {
  const TABLE: readonly [string, Partial<LaunchArgs>, Record<string, string>, string][] = [
    ['one machine: the command alone', {}, {}, 'generate --model DIR'],
    [
      'the first pod runs the head at its own address, which its name may not lead to yet',
      {},
      pod(0, { POD_IP: 'fd00::7' }),
      'generate --model DIR --listen [fd00::7]:7077 --ranks 1 --wait-ranks 1',
    ],
    ['another pod is a rank', {}, pod(1, { POD_IP: 'fd00::8' }), 'rank --head moe-0.moe:7077 --rank 1'],
    ['one machine with a number of ranks', { nprocPerNode: 3 }, {}, 'generate --model DIR --ranks 3'],
    ['a configuration goes to the command', { config: 'a.yaml' }, {}, 'generate --model DIR --config a.yaml'],
    ['a configuration goes to a server', { config: 'a.yaml', command: ['serve'] }, {}, 'serve --config a.yaml'],
    ['a configuration is nothing to a command without one', { config: 'a.yaml', command: ['doctor'] }, {}, 'doctor'],
    [
      'no command: a summary of the configuration',
      { config: 'a.yaml', command: [] },
      {},
      'generate --summary --config a.yaml',
    ],
    [
      'node 0 of two runs the head and its ranks',
      { nnodes: 2, nodeRank: 0, nprocPerNode: 2, head: HEAD },
      {},
      `generate --model DIR --listen ${HEAD} --ranks 2 --wait-ranks 2`,
    ],
    [
      'node 2 of three',
      { nnodes: 3, nodeRank: 2, nprocPerNode: 4, head: HEAD },
      {},
      `rank --head ${HEAD} --rank 8 --nproc 4`,
    ],
    [
      'one rank a node by default',
      { nnodes: 2, nodeRank: 1, head: HEAD },
      {},
      `rank --head ${HEAD} --rank 1 --nproc 1`,
    ],
    [
      'what a rank must know goes to the ranks',
      { nnodes: 2, nodeRank: 1, head: HEAD, secretFile: 'secret', advertise: 'b', model: 'DIR2', plugin: ['a.mjs'] },
      {},
      `rank --head ${HEAD} --rank 1 --secret-file secret --advertise b --model DIR2 --plugin a.mjs --nproc 1`,
    ],
    [
      'and to the head',
      { nnodes: 2, nodeRank: 0, head: HEAD, secretFile: 'secret', plugin: ['a.mjs'] },
      {},
      `generate --model DIR --listen ${HEAD} --ranks 1 --wait-ranks 1 --secret-file secret`,
    ],
    ['a backend goes to the command', { backend: 'wasm' }, {}, 'generate --model DIR --backend wasm'],
    [
      'and to ranks',
      { backend: 'cpu', nnodes: 2, nodeRank: 1, head: HEAD },
      {},
      `rank --head ${HEAD} --rank 1 --backend cpu --nproc 1`,
    ],
    ['Slurm task 0', {}, slurm(0), 'generate --model DIR --listen node03:7077 --ranks 1 --wait-ranks 3'],
    ['Slurm task 3', {}, slurm(3), 'rank --head node03:7077 --rank 3'],
    ['a given head comes before what Slurm says', { head: HEAD }, slurm(3), `rank --head ${HEAD} --rank 3`],
    ['a single Slurm task is no job of several', {}, slurm(0, { SLURM_NTASKS: '1' }), 'generate --model DIR'],
    [
      'a shell in a Slurm allocation is no task',
      {},
      { SLURM_PROCID: '0', SLURM_NTASKS: '1', SLURM_JOB_ID: '7' },
      'generate --model DIR',
    ],
    ['Open MPI task 0', { head: HEAD }, openMpi(0), `generate --model DIR --listen ${HEAD} --ranks 1 --wait-ranks 3`],
    ['Open MPI task 2', { head: HEAD }, openMpi(2), `rank --head ${HEAD} --rank 2`],
    [
      'torchrun task 0: its own port is taken, the next one is ours',
      {},
      torchrun(0),
      'generate --model DIR --listen node03:29501 --ranks 1 --wait-ranks 3',
    ],
    ['torchrun task 1', {}, torchrun(1), 'rank --head node03:29501 --rank 1'],
  ];
  for (const [title, args, env, expected] of TABLE) {
    it(title, () => expect(plan(args, env)).to.equal(expected));
  }

  it('without anything it is the demo', () => {
    expect(plan({ command: [] })).to.match(/^generate --summary --config .*configs\/demo\.yaml$/);
  });

  const WRONG: readonly [string, Partial<LaunchArgs>, Record<string, string>, RegExp][] = [
    [
      'a node number outside the job',
      { nnodes: 2, nodeRank: 2, head: HEAD },
      {},
      /--node-rank 2 with --nnodes 2: give 0 to 1/,
    ],
    ['several nodes without a head', { nnodes: 2, nodeRank: 0 }, {}, /--nnodes needs --head HOST:PORT/],
    ['a head without other nodes', { head: HEAD }, {}, /--head needs --nnodes/],
    ['a malformed head', { nnodes: 2, nodeRank: 0, head: 'here' }, {}, /'here' is not HOST:PORT/],
    [
      'a command without ranks, on each task',
      { head: HEAD, command: ['plan'] },
      openMpi(2),
      /openmpi starts ranks for generate, .*, not for plan; call it alone/,
    ],
    [
      'a command without ranks, on each machine',
      { nnodes: 2, nodeRank: 1, head: HEAD, command: ['bench', 'codec'] },
      {},
      /--nnodes starts ranks for generate, .*, not for bench/,
    ],
    ['Open MPI without a head', {}, openMpi(0), /openmpi does not say where task 0 runs; give --head/],
  ];
  for (const [title, args, env, message] of WRONG) {
    it(`${title} is refused`, () => expect(() => plan(args, env)).to.throw(UsageError, message));
  }

  it('a malformed environment is refused, naming the variable', () => {
    expect(() => plan({}, slurm(0, { SLURM_NTASKS: 'four' }))).to.throw(CommError, /SLURM_NTASKS is 'four'/);
  });
});
