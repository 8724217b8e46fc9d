/** `launch --hosts`: what is to run here, and what on the hosts. Pure. */
import { MAX_RANKS } from '../../base/ids.js';
import { worldFromEnv } from '../../comm/job/world.js';
import { parseAddress } from './base/address.js';
import { UsageError } from './base/context.js';
import { wholeNumber } from './base/numbers.js';
import { parseHosts } from './hosts/host_list.js';
import type { HostsOrder } from './hosts/run_on_hosts.js';
import { checkHasRanks, DEFAULT_SSH, forwarded, pluginsOf, withConfig, type LaunchArgs } from './launch.js';

/** The head starts with its hosts: they need not look for it long. */
const HOSTS_JOIN_TIMEOUT_S = 60;

/**
 * What `--hosts` asks for; null: it wasn't given.
 * @throws UsageError
 */
export function hostsOrder(args: LaunchArgs, env: Readonly<Record<string, string | undefined>>): HostsOrder | null {
  if (args.hosts === undefined) {
    const [alone] = (['ssh', 'remoteFolder', 'listen'] as const).filter((name) => args[name] !== undefined);
    if (alone === undefined) return null;
    throw new UsageError(`--${alone === 'remoteFolder' ? 'remote-folder' : alone} goes with --hosts; give that too`);
  }
  for (const [name, value] of [
    ['--nnodes', args.nnodes],
    ['--node-rank', args.nodeRank],
    ['--head', args.head],
  ] as const) {
    if (value !== undefined)
      throw new UsageError(`${name} with --hosts, which starts every machine; leave one of them out`);
  }
  const world = worldFromEnv(env);
  if (world !== undefined && world.size > 1) {
    throw new UsageError(`--hosts under ${world.launcher}, which starts every rank itself; leave one of them out`);
  }
  checkHasRanks(args, '--hosts');
  const nproc = wholeNumber('--nproc-per-node', args.nprocPerNode, 1, MAX_RANKS) ?? 1;
  const { remoteFolder, listen, advertise, secretFile, joinTimeout, model, backend } = args;
  if (listen !== undefined) parseAddress(listen);
  const ssh = (args.ssh ?? DEFAULT_SSH).trim().split(/\s+/);
  if (ssh[0] === '') throw new UsageError("--ssh is empty; give a program with its options: 'ssh -p 2222'");
  return {
    ...{ hosts: parseHosts(args.hosts, nproc), ssh, remoteFolder, listen, advertise, secretFile },
    command: withConfig(args),
    headOptions: forwarded({ joinTimeout, model, backend }),
    rankOptions: forwarded({ joinTimeout: joinTimeout ?? HOSTS_JOIN_TIMEOUT_S, model, backend }).concat(
      pluginsOf(args),
    ),
  };
}
