/**
 * Where shards of a node went, as it is kept; and what becomes of those whose worker is gone. Pure.
 * Why: docs/decisions/jobs.md#a-shard-that-was-sent-by-name-moves-when-its-worker-is-gone
 */

/** By index of shard. */
export interface Placement {
  readonly workers: readonly string[];
  /** Index into `workers`. */
  readonly placedAt: readonly number[];
  /** How often it went elsewhere since. */
  readonly moves: readonly number[];
  /** Whether all of it is in line. */
  readonly isSent: boolean;
}

/** Of all shards, from their workers. */
export function placementOf(chosen: readonly string[]): Placement {
  const workers = [...new Set(chosen)];
  const at = new Map(workers.map((worker, index) => [worker, index]));
  return { workers, placedAt: chosen.map((worker) => at.get(worker)!), moves: chosen.map(() => 0), isSent: false };
}

/** The worker that has a shard. */
export const workerOf = ({ workers, placedAt }: Placement, index: number): string => workers[placedAt[index]!]!;

/** Shards that are open and lie with workers that are gone. */
export const lostShards = (
  placement: Placement,
  isOpen: (index: number) => boolean,
  isGone: (worker: string) => boolean,
): readonly number[] => {
  const areGone = placement.workers.map(isGone);
  return placement.placedAt.flatMap((at, index) => (areGone[at]! && isOpen(index) ? [index] : []));
};

/** With some shards elsewhere, in the order of `indices`. */
export function movedPlacement(old: Placement, indices: readonly number[], chosen: readonly string[]): Placement {
  const workers = [...new Set([...old.workers, ...chosen])];
  const at = new Map(workers.map((worker, index) => [worker, index]));
  const placedAt = [...old.placedAt];
  const moves = [...old.moves];
  indices.forEach((index, i) => {
    placedAt[index] = at.get(chosen[i]!)!;
    moves[index] = moves[index]! + 1;
  });
  return { workers, placedAt, moves, isSent: false };
}

/** How many open shards each worker has of it. */
export function loadsOf(placement: Placement, isOpen: (index: number) => boolean): ReadonlyMap<string, number> {
  const loads = new Map<string, number>();
  placement.placedAt.forEach((at, index) => {
    const worker = placement.workers[at]!;
    if (isOpen(index)) loads.set(worker, (loads.get(worker) ?? 0) + 1);
  });
  return loads;
}
