/** From the list `instances` to single instances with names, and to the settings of each. Pure. */
import { closest } from 'fastest-levenshtein';
import { valueAt } from '../../base/foreign_value.js';
import { ConfigError } from './errors.js';
import { MAX_INSTANCES, type InstanceEntry } from './instances_schema.js';
import { isNear, pathText, type Layer, type Origin } from './layers.js';
import type { Role } from './cluster_schema.js';
import type { ExpertwireConfig } from './schema.js';

/** One instance of the list. */
export interface PlacedInstance {
  /** Of all in the list no other has it. */
  readonly name: string;
  /** Its entry's, in the list. */
  readonly index: number;
  /** It comes only when the load asks for it. */
  readonly isSpare: boolean;
  /** Null: a server that runs already tells its own. */
  readonly role: Role | null;
  /** Null: this machine. */
  readonly host: string | null;
  /** Where it listens; 0: any free port. */
  readonly port: number;
  /** Of a server that runs already; null: it is to be started. */
  readonly url: string | null;
  /** The variable of the environment that holds the key of that server; null: none is sent. */
  readonly apiKeyEnv: string | null;
}

type OriginOf = (path: readonly PropertyKey[]) => Origin | undefined;
type Listing = Pick<ExpertwireConfig, 'instances' | 'cluster'>;

/**
 * Instances in the order of the list: an entry's name stands for one, `NAME-0`, `NAME-1`, … for several; without a name it is the role, or `server` for those that run already.
 * @throws ConfigError INVALID_VALUE: entries that contradict themselves or one another
 */
export function placedInstances(config: Listing, originOf: OriginOf = () => undefined): readonly PlacedInstance[] {
  const numbers = new Map<string, number>();
  const placed = config.instances.flatMap((entry, index) => {
    checkEntry(entry, config, (text, ...path) => refusal(text, ['instances', index, ...path], originOf));
    return Array.from({ length: mostOf(entry) }, (_, i) => placedOf(entry, index, i, config.cluster.role, numbers));
  });
  const twice = placed.find(({ name }, i) => placed.findIndex((other) => other.name === name) < i);
  if (twice !== undefined)
    throw refusal(`two instances are called "${twice.name}"; give each a name`, ['instances', twice.index], originOf);
  if (placed.length > MAX_INSTANCES)
    throw refusal(`they are ${placed.length} instances; at most ${MAX_INSTANCES} are allowed`, ['instances'], originOf);
  return placed;
}

/**
 * The settings of one instance, to be laid over those of the file.
 * @throws ConfigError INVALID_VALUE: there is none of that name, or it isn't started from here
 */
export function instanceLayer(config: Listing, name: string, originOf: OriginOf): Layer {
  const placed = placedInstances(config, originOf);
  const found = placed.find((each) => each.name === name);
  if (found === undefined) throw unknownInstance(name, placed);
  if (found.url !== null)
    throw new ConfigError('INVALID_VALUE', `instance "${name}" runs already, at ${found.url}: it isn't started here`);
  const { index, role, host, port } = found;
  const { set, ranks } = config.instances[index]!;
  const section = (key: string): object => (valueAt(set, [key]) as object | null | undefined) ?? {};
  const values = {
    ...set,
    cluster: { ...section('cluster'), enabled: true, id: name, role },
    server: { ...section('server'), host: host ?? LOOPBACK, port, ...(host === null && { tls: NO_TLS }) },
    ...(ranks !== null && { parallel: { ...section('parallel'), ranks } }),
  };
  const at = ['instances', index];
  return {
    values,
    originOf: (path) =>
      (valueAt(set, path) === undefined ? originOf(at) : originOf([...at, 'set', ...path])) ?? { where: pathText(at) },
  };
}

/** Only the router of this machine calls it there. */
const LOOPBACK = '127.0.0.1';
const NO_TLS = { cert: null, key: null };

/** What `set` can't hold, and what does. */
const ELSEWHERE: readonly (readonly [path: string, where: string])[] = [
  ['instances', 'the list itself'],
  ['router', 'the section of the whole file'],
  ['parallel.ranks', '"ranks" of this entry'],
  ['cluster.role', '"role" of this entry'],
  ['cluster.id', '"name" of this entry'],
  ['cluster.enabled', 'what is listed is enabled'],
  ['cluster.name', 'the section of the whole file'],
  ['cluster.bus', 'the section of the whole file'],
  ['server.host', '"host" of this entry'],
  ['server.port', '"port" of this entry'],
];

/** Instances of an entry that may run at once. */
const mostOf = ({ count, max_count: most }: InstanceEntry): number => most ?? count;

function checkCounts(
  { host, count, min_count: least, max_count: most }: InstanceEntry,
  refuse: (text: string, ...path: readonly string[]) => ConfigError,
): void {
  const change = least !== null ? 'min_count' : 'max_count';
  if (host !== null && (least ?? most) !== null)
    throw refuse('is for instances of this machine: nobody starts or ends those of another one by load', change);
  if (least !== null && least > count) throw refuse(`is ${least}, and "count" ${count}: more than that`, 'min_count');
  if (most !== null && most < count) throw refuse(`is ${most}, and "count" ${count}: fewer than that`, 'max_count');
}

function checkEntry(
  entry: InstanceEntry,
  { cluster }: Pick<ExpertwireConfig, 'cluster'>,
  refuse: (text: string, ...path: readonly string[]) => ConfigError,
): void {
  const { url, host, port, count, ranks, role, set, api_key_env: apiKeyEnv } = entry;
  const counts = { count: count === 1 ? null : count, min_count: entry.min_count, max_count: entry.max_count };
  const ofStarted = { host, ranks, role, port: port || null, ...counts };
  const extra = Object.entries(ofStarted).find(([, value]) => value !== null)?.[0];
  if (url !== null && (extra !== undefined || Object.keys(set).length > 0))
    throw refuse(`has a url: the server there runs already; leave "${extra ?? 'set'}" out`, extra ?? 'set');
  if (url === null && apiKeyEnv !== null)
    throw refuse('is for servers that run already; give "url" too, or leave it out', 'api_key_env');
  if (host !== null && port === 0 && cluster.bus === 'local')
    throw refuse('is on another machine; give "port" too, or a bus of NATS (cluster.bus)', 'host');
  checkCounts(entry, refuse);
  const most = mostOf(entry);
  if (port + most - 1 > 65_535) throw refuse(`and those behind it for ${most} instances go beyond 65535`, 'port');
  const misplaced = ELSEWHERE.find(([path]) => valueAt(set, path.split('.')) !== undefined);
  if (misplaced !== undefined) throw refuse(`can't be here; use ${misplaced[1]}`, 'set', ...misplaced[0].split('.'));
}

function placedOf(
  entry: InstanceEntry,
  index: number,
  i: number,
  ofAll: Role,
  numbers: Map<string, number>,
): PlacedInstance {
  const { name, count, role: own, host, port, url, api_key_env: apiKeyEnv } = entry;
  const role = url === null ? (own ?? ofAll) : null;
  const place = { index, isSpare: i >= count, role, host, port: port === 0 ? 0 : port + i, url, apiKeyEnv };
  if (name !== null && mostOf(entry) === 1) return { name, ...place };
  const begin = name ?? role ?? 'server';
  const number = numbers.get(begin) ?? 0;
  numbers.set(begin, number + 1);
  return { name: `${begin}-${number}`, ...place };
}

function refusal(text: string, path: readonly PropertyKey[], originOf: OriginOf): ConfigError {
  const origin = originOf(path);
  const key = pathText(path);
  const where = origin === undefined ? '' : `${origin.where}: `;
  return new ConfigError('INVALID_VALUE', `${where}"${key}" ${text}`, { key, file: origin?.file, line: origin?.line });
}

function unknownInstance(name: string, placed: readonly PlacedInstance[]): ConfigError {
  if (placed.length === 0)
    return new ConfigError('INVALID_VALUE', `there is no instance "${name}": the configuration lists no "instances"`);
  const names = placed.map((each) => each.name);
  const nearest = closest(name, names);
  const advice = isNear(name, nearest) ? `did you mean "${nearest}"?` : 'give one of those';
  return new ConfigError('INVALID_VALUE', `there is no instance "${name}" (${names.join(', ')}); ${advice}`);
}
