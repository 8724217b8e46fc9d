/** Which worker gets which shard. Pure. */
import type { JobNode, Route } from '../base/job.js';
import type { WorkerRecord } from '../base/job_bus.js';
import { pairHash, textHash } from './text_hash.js';

/** A worker that may be chosen. */
export type Candidate = Pick<WorkerRecord, 'id' | 'width'>;

/** What the choice stands on. */
export interface RoutingFacts {
  /** Live ones; one at least. */
  readonly workers: readonly Candidate[];
  /** What each has in hand and in line. */
  readonly loadOf: (worker: string) => number;
  /** Who was the last one in turn; null: nobody was. */
  readonly lastTurn: string | null;
  /** Of job and node: the same one always goes the same way. */
  readonly hashKey: string;
}

/** Whether shards of a node go to workers by name; else to whoever is free first. */
export const isRouted = ({ route, shards, work }: JobNode): boolean => route !== 'any' || isBroadcast({ shards, work });

/** The workers of shards with these indices, in their order. */
export function routed(node: JobNode, indices: readonly number[], facts: RoutingFacts): readonly string[] {
  const workers = [...facts.workers].sort((a, b) => (a.id < b.id ? -1 : 1));
  return chooserOf(isBroadcast(node) ? 'broadcast' : node.route, workers, facts)(indices);
}

type Chooser = (indices: readonly number[]) => readonly string[];

function chooserOf(route: Route | 'broadcast', workers: readonly Candidate[], facts: RoutingFacts): Chooser {
  switch (route) {
    case 'broadcast':
      return (indices) => indices.map((index) => workers[index % workers.length]!.id);
    case 'any':
    case 'round_robin':
      return inTurn(workers, facts.lastTurn);
    case 'least_busy':
      return byLoad(workers, facts.loadOf);
    case 'consistent_hash':
      return byHash(workers, textHash(facts.hashKey));
    case 'failover':
      return (indices) => indices.map(() => workers[0]!.id);
  }
}

/** The first one after `last`, and so on. */
function inTurn(workers: readonly Candidate[], last: string | null): Chooser {
  const start = last === null ? 0 : workers.findIndex(({ id }) => id > last);
  return (indices) => indices.map((_, turn) => workers[(Math.max(start, 0) + turn) % workers.length]!.id);
}

/** Who has least in hand for each task that he does at a time; of equal ones the first by name. */
function byLoad(workers: readonly Candidate[], loadOf: (worker: string) => number): Chooser {
  const loads = workers.map(({ id }) => loadOf(id));
  const shareOf = (at: number): number => loads[at]! / workers[at]!.width;
  return (indices) =>
    indices.map(() => {
      const least = workers.reduce((best, _, at) => (shareOf(at) < shareOf(best) ? at : best), 0);
      loads[least] = loads[least]! + 1;
      return workers[least]!.id;
    });
}

/** Whoever draws the highest number for the shard (rendezvous hashing): only shards of a worker that goes, or for one that comes, move. */
function byHash(workers: readonly Candidate[], key: number): Chooser {
  const hashes = workers.map(({ id }) => textHash(id));
  return (indices) =>
    indices.map((index) => {
      const shard = pairHash(key, index);
      const drawn = hashes.map((hash) => pairHash(hash, shard));
      return workers[drawn.indexOf(drawn.reduce((a, b) => Math.max(a, b)))]!.id;
    });
}

const isBroadcast = ({ shards, work }: Pick<JobNode, 'shards' | 'work'>): boolean =>
  shards.kind === 'broadcast' && work.kind !== 'experiment' && work.kind !== 'batch';
