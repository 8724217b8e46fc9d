/** What `launch.sh` runs: the given command, with head and ranks where the machine's place in the job says. Pure. */
import { fileURLToPath } from 'node:url';
import type { Argv } from 'yargs';
import { worldFromEnv, type World } from '../../comm/world.js';
import { formatAddress, parseAddress } from './address.js';
import { UsageError } from './context.js';

export interface LaunchArgs {
  readonly config?: string | undefined;
  readonly nnodes?: number | undefined;
  readonly nodeRank?: number | undefined;
  readonly nprocPerNode?: number | undefined;
  readonly head?: string | undefined;
  /** What follows `--`. */
  readonly command: readonly string[];
}

/** As parsed: the command is in '--'. */
export interface LaunchOptions extends Omit<LaunchArgs, 'command'> {
  readonly '--'?: readonly string[];
}

/** Where ranks join when a launcher gives a host without a port. */
export const DEFAULT_PORT = 7077;
const DEMO_CONFIG = fileURLToPath(new URL('../../../configs/demo.yaml', import.meta.url));
const COMMANDS_WITH_CONFIG: ReadonlySet<string> = new Set(['generate', 'score']);

/** Options of `expertwire launch`; the command follows `--`. */
export function launchOptions<T>(yargs: Argv<T>): Argv<T & LaunchOptions> {
  return yargs
    .positional('config', { type: 'string', describe: 'YAML configuration (default: the demo)' })
    .option('nnodes', { type: 'number', describe: 'machines of the job' })
    .option('node-rank', { type: 'number', describe: 'number of this machine; 0 runs the head' })
    .option('nproc-per-node', { type: 'number', describe: 'ranks on each machine' })
    .option('head', { type: 'string', describe: 'HOST:PORT of machine 0, where ranks join' })
    .example('./launch.sh', 'the demo')
    .example("./launch.sh -- generate --model DIR --prompt 'Call me'", 'one command on local ranks')
    .example('./launch.sh my.yaml --nnodes 2 --node-rank 0 --nproc-per-node 2 --head 10.0.0.1:7077', 'two machines')
    .epilogue(
      'Under Slurm, Open MPI and torchrun, start the same line once per rank: numbers come from the environment.',
    );
}

/**
 * The `expertwire` arguments of this machine or task: the command itself where the head belongs, `rank` elsewhere. Slurm, Open MPI and torchrun
 * start one task per rank, and task 0 is the head too; otherwise --nnodes and --node-rank say it.
 * @throws UsageError, CommError INVALID_ARGUMENT on a malformed environment
 */
export function launchPlan(args: LaunchArgs, env: Readonly<Record<string, string | undefined>>): string[] {
  const command = withConfig(args);
  const world = worldFromEnv(env);
  if (world !== undefined && world.size > 1) return ofWorld(command, args, world);
  const { nnodes = 1, nodeRank = 0, nprocPerNode } = args;
  if (nodeRank >= nnodes) {
    throw new UsageError(`--node-rank ${nodeRank} with --nnodes ${nnodes}: give 0 to ${nnodes - 1}`);
  }
  if (nnodes === 1) return [...command, ...(nprocPerNode === undefined ? [] : ['--ranks', String(nprocPerNode)])];
  if (args.head === undefined) throw new UsageError('--nnodes needs --head HOST:PORT, the address of node 0');
  const perNode = nprocPerNode ?? 1;
  if (nodeRank > 0)
    return ['rank', '--head', args.head, '--nproc', String(perNode), '--rank', String(nodeRank * perNode)];
  return asHead(command, args.head, perNode, (nnodes - 1) * perNode);
}

function ofWorld(command: readonly string[], args: LaunchArgs, { launcher, rank, size, head }: World): string[] {
  const address = args.head ?? (head && formatAddress({ host: head.host, port: head.port ?? DEFAULT_PORT }));
  if (address === undefined) {
    throw new UsageError(`${launcher} does not say where task 0 runs; give --head HOST:PORT with its address`);
  }
  return rank === 0 ? asHead(command, address, 1, size - 1) : ['rank', '--head', address, '--rank', String(rank)];
}

function asHead(command: readonly string[], head: string, numLocal: number, numExternal: number): string[] {
  parseAddress(head);
  return [...command, '--listen', head, '--ranks', String(numLocal), '--wait-ranks', String(numExternal)];
}

function withConfig({ config, command }: LaunchArgs): string[] {
  if (command.length === 0) return ['generate', '--summary', '--config', config ?? DEMO_CONFIG];
  const isBare = config === undefined || !COMMANDS_WITH_CONFIG.has(command[0]!);
  return isBare ? [...command] : [...command, '--config', config];
}
