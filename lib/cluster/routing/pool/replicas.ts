/** Which instance gets a copy of a prefix that many ask for. Pure. Why: docs/decisions/kv_store.md#what-many-ask-for-lies-in-several-places */
import type { InstanceView } from '../../base/instance_view.js';
import type { HotPrefix } from './heat.js';
import { MAX_HOLDERS } from './holders.js';

/** When and how much is copied. */
export interface ReplicaSettings {
  /** For so much heat another instance has a prefix. */
  readonly heatPerReplica: number;
  /** Of one prefix, with the first. */
  readonly maxReplicas: number;
  /** Copies at a time. */
  readonly maxAtOnce: number;
}

/** A prefix comes to an instance. */
export interface Copy {
  readonly keys: readonly string[];
  /** Who has all of it: URLs. */
  readonly holders: readonly string[];
  readonly to: string;
}

/** An instance of the pool whose prompts these are. */
export interface PoolMember {
  readonly view: InstanceView;
  /** How many of a prefix's first blocks it told that it has. */
  readonly numHeld: (prefix: HotPrefix) => number;
}

/** A copy that is underway, or was begun lately: what came of it may not be told yet. `last`: the key of its last block. */
export interface BegunCopy {
  readonly last: string;
  readonly to: string;
  readonly state: 'underway' | 'done' | 'failed';
}

/** Of the room that isn't held at a target, what a copy may take: what is cached there is worth something, too. */
const ROOM_SHARE = 1 / 2;

/** How many instances should have a prefix of such heat. */
export const wantedReplicas = (heat: number, { heatPerReplica, maxReplicas }: ReplicaSettings): number =>
  Math.min(maxReplicas, 1 + Math.floor(heat / heatPerReplica));

/** Copies to begin now, those of the hottest prefixes first: each to the instance with least to do that computes prompts and lacks it. */
export function planCopies(
  hot: readonly HotPrefix[],
  members: readonly PoolMember[],
  begun: readonly BegunCopy[],
  settings: ReplicaSettings,
): readonly Copy[] {
  const copies: Copy[] = [];
  let numUnderway = begun.filter(isUnderway).length;
  const busy = new Set(begun.filter(isUnderway).map(({ to }) => to));
  for (const prefix of hot) {
    if (numUnderway >= settings.maxAtOnce) break;
    const last = prefix.keys.at(-1)!;
    const same = begun.filter((each) => each.last === last);
    const coming = new Set(same.filter(({ state }) => state !== 'failed').map(({ to }) => to));
    const tried = new Set(same.map(({ to }) => to));
    const holders = members.filter((each) => isHolder(each, prefix));
    const numComing = members.filter((each) => coming.has(each.view.record.id) && !isHolder(each, prefix)).length;
    if (holders.length === 0 || holders.length + numComing >= wantedReplicas(prefix.heat, settings)) continue;
    const able = members.filter(({ view: { record } }) => !tried.has(record.id) && !busy.has(record.id));
    const target = leastLoadedOf(able.filter((each) => canTake(each, prefix)));
    if (target === undefined) continue;
    const to = target.view.record.id;
    const urls = holders.toSorted((a, b) => loadOf(a) - loadOf(b)).map(({ view }) => view.record.url);
    copies.push({ keys: prefix.keys, holders: urls.slice(0, MAX_HOLDERS), to });
    busy.add(to);
    numUnderway++;
  }
  return copies;
}

const isUnderway = ({ state }: BegunCopy): boolean => state === 'underway';

const isHolder = ({ view, numHeld }: PoolMember, prefix: HotPrefix): boolean =>
  view.isHealthy && numHeld(prefix) >= prefix.keys.length;

/** It computes prompts, and has room without giving up most of what it has cached. */
function canTake(member: PoolMember, prefix: HotPrefix): boolean {
  const { record, isHealthy, load } = member.view;
  if (!isHealthy || record.isDraining || record.role === 'decode' || load === null) return false;
  const numLacking = prefix.keys.length - member.numHeld(prefix);
  return numLacking > 0 && numLacking <= ROOM_SHARE * load.numFreeBlocksOfRank;
}

const loadOf = ({ view: { numRequests, record } }: PoolMember): number => numRequests / record.numRanks;

const leastLoadedOf = (members: readonly PoolMember[]): PoolMember | undefined =>
  members.toSorted((a, b) => loadOf(a) - loadOf(b))[0];
