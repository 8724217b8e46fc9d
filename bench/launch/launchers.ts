/** Launchers of jobs of ranks, as commands: which words start the tasks, and what tells that they can. Pure. */

/** A job that is to start. */
export interface StartedJob {
  readonly ranks: number;
  /** A free port for its head. */
  readonly port: number;
  /** The command of the tasks: Node with expertwire's program. */
  readonly program: readonly string[];
  /** What it runs: generate … */
  readonly command: readonly string[];
}

interface Launcher {
  /** A command that succeeds where it is installed and works; null: it is part of expertwire. */
  readonly probe: readonly string[] | null;
  /** What to do where it doesn't. */
  readonly advice: string;
  readonly words: (job: StartedJob) => readonly string[];
}

const launched = ({ program, port, command }: StartedJob): string[] => [
  ...program,
  ...['launch', '--head', `127.0.0.1:${port}`, '--', ...command],
];
const count = ({ ranks }: StartedJob): string => String(ranks);

/** By name; the first is what the others stand beside. */
export const LAUNCHERS = {
  hand: {
    probe: null,
    advice: '',
    words: ({ program, command, ranks }) => [...program, ...command, '--ranks', String(ranks)],
  },
  slurm: {
    probe: ['sinfo', '--noheader'],
    advice: 'no Slurm answers sinfo; apt-get install slurm-wlm munge, and start its daemons',
    words: (job) => ['srun', '--quiet', '--overcommit', '--ntasks', count(job), ...launched(job)],
  },
  openmpi: {
    probe: ['mpirun.openmpi', '--version'],
    advice: 'mpirun.openmpi is not there; apt-get install openmpi-bin',
    words: (job) => [
      ...['mpirun.openmpi', '--oversubscribe', '--bind-to', 'none', '-np', count(job)],
      ...launched(job),
    ],
  },
  mpich: {
    probe: ['mpiexec.hydra', '--version'],
    advice: 'mpiexec.hydra is not there; apt-get install mpich',
    words: (job) => ['mpiexec.hydra', '-np', count(job), ...launched(job)],
  },
  torchrun: {
    probe: ['torchrun', '--help'],
    advice: 'torchrun is not there; pip install torch',
    words: (job) => [
      ...['torchrun', '--no-python', '--nproc-per-node', count(job), '--master-port', String(job.port + 1)],
      ...launched(job),
    ],
  },
} as const satisfies Readonly<Record<string, Launcher>>;

/** One of {@link LAUNCHERS}. */
export type LauncherName = keyof typeof LAUNCHERS;
