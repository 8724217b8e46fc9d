/** The hosts of `launch --hosts`, as they are named and as they are told apart from this machine. Pure. */
import { MAX_RANKS } from '../../../base/ids.js';
import { shown } from '../../../base/foreign_text.js';
import { UsageError } from '../base/context.js';

/** One host, and how many ranks it is to have. */
export interface HostRanks {
  /** What ssh is given: a name of its configuration, an address without brackets, USER@HOST. */
  readonly destination: string;
  /** The same without a user. */
  readonly host: string;
  readonly numRanks: number;
}

/** What this machine is called. */
export interface OwnNames {
  readonly hostname: string;
  /** Of all its interfaces. */
  readonly addresses: readonly string[];
}

/** [USER@]HOST[:RANKS], brackets around IPv6. A name that begins with a dash would be an option of ssh. */
const HOST = /^(?:([A-Za-z0-9_][\w.-]*)@)?(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([A-Za-z0-9_][\w.-]*))(?::(\d+))?$/;
const EXAMPLE = 'give such as a,b:2,root@c or [fd00::2]:4';

/**
 * `a,b:2,user@c,[fd00::2]:4`; hosts without a number have `numRanksEach`.
 * @throws UsageError: which of them is none, is named twice, or has too many ranks
 */
export function parseHosts(text: string, numRanksEach: number): readonly HostRanks[] {
  const hosts = text.split(',').map((part) => parseHost(part.trim(), numRanksEach));
  const names = hosts.map(({ destination }) => destination);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new UsageError(`--hosts names ${twice} twice; give it once with its number of ranks: ${twice}:2`);
  }
  const numRanks = hosts.reduce((sum, each) => sum + each.numRanks, 0);
  if (numRanks <= MAX_RANKS) return hosts;
  throw new UsageError(`--hosts has ${numRanks} ranks, and a job has at most ${MAX_RANKS}; give fewer`);
}

function parseHost(part: string, numRanksEach: number): HostRanks {
  const [, user, ipv6, name, count] = HOST.exec(part) ?? [];
  const host = ipv6 ?? name;
  if (host === undefined) throw new UsageError(`--hosts: ${shown(part)} is no host; ${EXAMPLE}`);
  const numRanks = count === undefined ? numRanksEach : Number(count);
  if (numRanks < 1 || numRanks > MAX_RANKS) {
    throw new UsageError(`--hosts: ${shown(part)} asks for ${numRanks} ranks; give 1 to ${MAX_RANKS}`);
  }
  return { destination: user === undefined ? host : `${user}@${host}`, host, numRanks };
}

/** Whether a host is the machine itself, where ranks start without ssh; as another user it is one like any other. */
export function isOwn({ destination, host }: HostRanks, { hostname, addresses }: OwnNames): boolean {
  const names = ['localhost', '127.0.0.1', '::1', hostname, hostname.split('.', 1)[0]!, ...addresses];
  return destination === host && names.includes(host);
}
