/** What `launch.sh` runs: the given command, with head and ranks where the machine's place in the job says. Pure. */
import type { Argv } from 'yargs';
import { MAX_RANKS } from '../../base/ids.js';
import { worldFromEnv, type World } from '../../comm/job/world.js';
import { DEMO_CONFIG } from '../config/package_files.js';
import { formatAddress, parseAddress } from './base/address.js';
import { UsageError } from './base/context.js';
import { wholeNumber } from './base/numbers.js';

/** What decides which part of a job this machine or task starts. */
export interface LaunchArgs {
  readonly config?: string | undefined;
  readonly nnodes?: number | undefined;
  readonly nodeRank?: number | undefined;
  readonly nprocPerNode?: number | undefined;
  readonly head?: string | undefined;
  readonly secretFile?: string | undefined;
  readonly advertise?: string | undefined;
  readonly model?: string | undefined;
  readonly plugin?: readonly string[] | undefined;
  readonly backend?: string | undefined;
  readonly joinTimeout?: number | undefined;
  readonly hosts?: string | undefined;
  readonly ssh?: string | undefined;
  readonly remoteFolder?: string | undefined;
  readonly listen?: string | undefined;
  /** What follows `--`. */
  readonly command: readonly string[];
}

/** As parsed: the command is in '--'. */
export interface LaunchOptions extends Omit<LaunchArgs, 'command'> {
  readonly '--'?: readonly string[];
}

/** No questions, which nobody could answer for several hosts at once; a host that is off is told soon, one that vanishes too. */
export const DEFAULT_SSH = 'ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5';
/** Where ranks join when a launcher gives a host without a port. */
export const DEFAULT_PORT = 7077;
/** Those that start an engine. */
const COMMANDS_WITH_CONFIG: ReadonlySet<string> = new Set(['generate', 'chat', 'score', 'serve']);

/** Options of `expertwire launch`; the command follows `--`. */
export function launchOptions<T>(yargs: Argv<T>): Argv<T & LaunchOptions> {
  return yargs
    .positional('config', { type: 'string', describe: 'YAML configuration (default: the demo)' })
    .option('nnodes', { type: 'number', describe: 'machines of the job' })
    .option('node-rank', { type: 'number', describe: 'number of this machine; 0 runs the head' })
    .option('nproc-per-node', { type: 'number', describe: 'ranks on each machine' })
    .option('head', { type: 'string', describe: 'HOST:PORT of machine 0, where ranks join' })
    .option('hosts', { type: 'string', describe: 'HOST[:RANKS],…: the head here, ranks there by ssh' })
    .option('ssh', { type: 'string', describe: `with --hosts: how (${DEFAULT_SSH})` })
    .option('remote-folder', { type: 'string', describe: 'with --hosts: the folder of expertwire there (as here)' })
    .option('listen', { type: 'string', describe: 'with --hosts: HOST:PORT of the head (found, a free port)' })
    .option('secret-file', { type: 'string', describe: 'file with the job secret, on every machine' })
    .option('advertise', { type: 'string', describe: 'address of this machine for other ranks' })
    .option('join-timeout', { type: 'number', describe: 'seconds to wait for the other machines (600)' })
    .option('model', { type: 'string', describe: 'model folder on this machine' })
    .option('plugin', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: "a plug-in's file, for ranks of a machine where it isn't the head's path",
    })
    .option('backend', {
      type: 'string',
      describe: 'backend of the ranks of this machine; on machine 0, of all that choose no other',
    })
    .epilogue(
      'Under Slurm, Open MPI, MPICH and torchrun, start the same line once per rank: numbers come from the environment.',
    );
}

/**
 * The `expertwire` arguments of this machine or task: the command itself where the head belongs, `rank` elsewhere. Slurm, MPI and torchrun
 * start one task per rank, and task 0 is the head too; otherwise --nnodes and --node-rank say it.
 * @throws UsageError, CommError INVALID_ARGUMENT on a malformed environment
 */
export function launchPlan(args: LaunchArgs, env: Readonly<Record<string, string | undefined>>): string[] {
  const command = withConfig(args);
  const world = worldFromEnv(env);
  if (world !== undefined && world.size > 1) {
    checkHasRanks(args, world.launcher);
    return ofWorld(command, args, world);
  }
  const nnodes = wholeNumber('--nnodes', args.nnodes, 1, MAX_RANKS) ?? 1;
  const nodeRank = wholeNumber('--node-rank', args.nodeRank, 0, MAX_RANKS - 1) ?? 0;
  const nproc = wholeNumber('--nproc-per-node', args.nprocPerNode, 1, MAX_RANKS);
  if (nodeRank >= nnodes) {
    throw new UsageError(`--node-rank ${nodeRank} with --nnodes ${nnodes}: give 0 to ${nnodes - 1}`);
  }
  if (nnodes === 1) {
    if (args.head !== undefined) {
      throw new UsageError('--head needs --nnodes, the number of machines; without other machines leave it out');
    }
    return [...command, ...(nproc === undefined ? [] : ['--ranks', String(nproc)]), ...forwarded(args)];
  }
  checkHasRanks(args, '--nnodes');
  if (args.head === undefined) throw new UsageError('--nnodes needs --head HOST:PORT, the address of node 0');
  const perNode = nproc ?? 1;
  return nodeRank === 0
    ? asHead(command, args, args.head, perNode, (nnodes - 1) * perNode)
    : [...asRank(args, args.head, nodeRank * perNode), '--nproc', String(perNode)];
}

/** On every machine at once: those without the command would wait for a head that never comes. @throws UsageError */
export function checkHasRanks({ command: [name] }: Pick<LaunchArgs, 'command'>, who: string): void {
  if (name === undefined || COMMANDS_WITH_CONFIG.has(name)) return;
  const known = [...COMMANDS_WITH_CONFIG].join(', ');
  throw new UsageError(`${who} starts ranks for ${known}, not for ${name}; call it alone, on one machine`);
}

function ofWorld(command: readonly string[], args: LaunchArgs, world: World): string[] {
  const { launcher, rank, size, head, own } = world;
  const address = args.head ?? (head && formatAddress({ host: head.host, port: head.port ?? DEFAULT_PORT }));
  if (address === undefined) {
    throw new UsageError(`${launcher} does not say where task 0 runs; give --head HOST:PORT with its address`);
  }
  if (rank > 0) return asRank(args, address, rank);
  const { port } = parseAddress(address);
  const listen = own === undefined || args.head !== undefined ? address : formatAddress({ host: own, port });
  return asHead(command, args, listen, 1, size - 1);
}

function asHead(
  command: readonly string[],
  args: LaunchArgs,
  head: string,
  numLocal: number,
  numExternal: number,
): string[] {
  parseAddress(head);
  const numbers = ['--listen', head, '--ranks', String(numLocal), '--wait-ranks', String(numExternal)];
  return [...command, ...numbers, ...forwarded(args)];
}

const asRank = (args: LaunchArgs, head: string, rank: number): string[] => [
  ...['rank', '--head', head, '--rank', String(rank)],
  ...forwarded(args),
  ...pluginsOf(args),
];

/** Plug-ins, for ranks. */
export const pluginsOf = ({ plugin = [] }: LaunchArgs): string[] => plugin.flatMap((path) => ['--plugin', path]);

/** What head and ranks alike must know of this machine. */
export function forwarded({
  secretFile,
  advertise,
  model,
  backend,
  joinTimeout,
}: Omit<LaunchArgs, 'command'>): string[] {
  const option = (name: string, value: string | undefined): string[] => (value === undefined ? [] : [name, value]);
  return [
    ...option('--secret-file', secretFile),
    ...option('--advertise', advertise),
    ...option('--model', model),
    ...option('--backend', backend),
    ...option('--join-timeout', joinTimeout?.toString()),
  ];
}

/** The command, with the configuration that stands before the dashes. */
export function withConfig({ config, command }: LaunchArgs): string[] {
  if (command.length === 0) return ['generate', '--summary', '--config', config ?? DEMO_CONFIG];
  const isBare = config === undefined || !COMMANDS_WITH_CONFIG.has(command[0]!);
  return isBare ? [...command] : [...command, '--config', config];
}
