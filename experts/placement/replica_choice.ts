/**
 * Which replica of its expert serves a token. Pure and deterministic: a choice depends on nothing but the batch of its own rank (`allgather`: of all).
 * Shape suffixes: T tokens, K choices per token, E logical experts, P physical experts, R ranks.
 * Why: docs/decisions/placement.md#the-choice-of-replicas
 */
import { ExpertError } from '../../compute/base/errors.js';
import type { Placement } from './placement.js';
import { splitCounts } from './replica_split.js';

/** The ways to choose, by name. */
export const REPLICA_CHOICES = ['local_first', 'round_robin', 'balanced', 'allgather'] as const;
/**
 * - `local_first`: replicas on the own rank, else those on the own node, else all of them, in turn.
 * - `round_robin`: all replicas in turn; each rank begins with another one.
 * - `balanced`: so that the rank to which this batch sends most gets as little as possible; of equally good ways, each rank takes another one.
 * - `allgather`: so that the rank to which the batches of all ranks send most gets as little as possible; asks the others first.
 *
 * Where ranks differ in speed, most and little are counted in time.
 */
export type ReplicaChoice = (typeof REPLICA_CHOICES)[number];

/** Whose tokens are sent. */
export interface ChoosingRank {
  readonly rank: number;
  /** Ranks are numbered node by node. Default: all on one node. */
  readonly ranksPerNode?: number;
}

/** Every rank's counts [E] from each rank's own, by rank; all ranks call it in the same order. */
export type GatherCounts = (counts_E: Int32Array, signal?: AbortSignal) => Promise<readonly Int32Array[]>;

/** Chooses replicas for the tokens of one rank. */
export interface ReplicaChooser {
  /** It asks all ranks in each layer, so none may be a layer ahead. Default false. */
  readonly asksAll?: boolean;
  /**
   * Logical choices [T·K] of one MoE layer (its number among them) → physical experts. −1 stays −1, and an expert without a replica becomes −1.
   * @param capacities [R] what each rank computes in the same time, the same on all ranks; default: all alike
   * @throws what gathering throws
   */
  choose(
    topkIdx: Int32Array,
    placement: Placement,
    moeLayer: number,
    signal?: AbortSignal,
    capacities?: readonly number[],
  ): Int32Array | Promise<Int32Array>;
}

/** @throws ExpertError INVALID_ARGUMENT for `allgather` without a way to gather */
export function createReplicaChooser(
  choice: ReplicaChoice,
  { rank, ranksPerNode }: ChoosingRank,
  gatherCounts?: GatherCounts,
): ReplicaChooser {
  const all = (replicas: Int32Array): Int32Array => replicas;
  const near = (replicas: Int32Array, { slotsPerRank, numRanks }: Placement): Int32Array =>
    nearest(replicas, slotsPerRank, rank, ranksPerNode ?? numRanks);
  switch (choice) {
    case 'local_first':
      return { choose: (topkIdx, placement, moeLayer) => inTurn(topkIdx, placement, moeLayer, rank, near) };
    case 'round_robin':
      return { choose: (topkIdx, placement, moeLayer) => inTurn(topkIdx, placement, moeLayer, rank, all) };
    case 'balanced':
      return {
        choose(topkIdx, placement, moeLayer, _signal, capacities) {
          if (!isRedundant(placement, moeLayer)) return inTurn(topkIdx, placement, moeLayer, rank, all);
          const count_P = splitCounts(
            countsOf(topkIdx, placement.numExperts[moeLayer]!),
            placement,
            moeLayer,
            rank,
            capacities,
          );
          return fill(topkIdx, placement, moeLayer, rank, count_P);
        },
      };
    case 'allgather':
      if (gatherCounts === undefined) throw new ExpertError('INVALID_ARGUMENT', 'allgather needs a way to gather');
      return {
        asksAll: true,
        async choose(topkIdx, placement, moeLayer, signal, capacities) {
          // Every rank has the same placement: all ask, or none.
          if (!isRedundant(placement, moeLayer)) return inTurn(topkIdx, placement, moeLayer, rank, all);
          const counts_RE = await gatherCounts(countsOf(topkIdx, placement.numExperts[moeLayer]!), signal);
          const share_P = shareOf(rank, counts_RE, placement, moeLayer, capacities);
          return fill(topkIdx, placement, moeLayer, rank, share_P);
        },
      };
  }
}

const isRedundant = ({ logcnt }: Placement, moeLayer: number): boolean => logcnt[moeLayer]!.some((count) => count > 1);

/** The replicas of an expert on the own rank, else on the own node, else all of them. */
function nearest(replicas: Int32Array, slotsPerRank: number, rank: number, ranksPerNode: number): Int32Array {
  if (replicas.length < 2) return replicas;
  const own = replicas.filter((p) => Math.floor(p / slotsPerRank) === rank);
  if (own.length > 0) return own;
  const slotsPerNode = slotsPerRank * ranksPerNode;
  const node = Math.floor(rank / ranksPerNode);
  const close = replicas.filter((p) => Math.floor(p / slotsPerNode) === node);
  return close.length > 0 ? close : replicas;
}

/** The i-th choice of an expert gets candidate (rank + i) modulo their number. */
function inTurn(
  topkIdx: Int32Array,
  placement: Placement,
  moeLayer: number,
  rank: number,
  candidatesOf: (replicas: Int32Array, placement: Placement) => Int32Array,
): Int32Array {
  const log2phy = placement.log2phy[moeLayer]!;
  const chosen = new Int32Array(topkIdx.length);
  // What experts of several replicas need, if there are any.
  let candidates: (Int32Array | undefined)[] | undefined;
  let next_E: Int32Array | undefined;
  for (let i = 0; i < topkIdx.length; i++) {
    const logical = topkIdx[i]!;
    const held = logical < 0 ? undefined : log2phy[logical]!;
    if (held === undefined || held.length < 2) {
      chosen[i] = held?.[0] ?? -1;
      continue;
    }
    candidates ??= new Array<Int32Array | undefined>(log2phy.length);
    next_E ??= new Int32Array(log2phy.length).fill(rank);
    const replicas = (candidates[logical] ??= candidatesOf(held, placement));
    chosen[i] = replicas[next_E[logical]!++ % replicas.length]!;
  }
  return chosen;
}

/** [E] */
function countsOf(topkIdx: Int32Array, numExperts: number): Int32Array {
  const counts_E = new Int32Array(numExperts);
  for (const logical of topkIdx) if (logical >= 0) counts_E[logical]!++;
  return counts_E;
}

/** Gives every choice one of its expert's replicas that has some of its share [P] left, in turn, so that micro-batches are balanced as the whole is. */
function fill(
  topkIdx: Int32Array,
  { log2phy }: Placement,
  moeLayer: number,
  rank: number,
  left_P: Float64Array,
): Int32Array {
  const next_E = new Int32Array(log2phy[moeLayer]!.length).fill(rank);
  return topkIdx.map((logical) => {
    if (logical < 0) return -1;
    const replicas = log2phy[moeLayer]![logical]!;
    for (let i = 0; i < replicas.length; i++) {
      const p = replicas[next_E[logical]!++ % replicas.length]!;
      if (!(left_P[p]! > 0)) continue;
      left_P[p]!--;
      return p;
    }
    return -1; // without replicas: shares add up to the choices
  });
}

/**
 * [P] what one rank sends to each replica, of a split of all ranks' counts [R][E]; every rank computes the same split, and the shares of all add up to
 * it. A rank's own replicas are its own first.
 */
export function shareOf(
  rank: number,
  counts_RE: readonly Int32Array[],
  placement: Placement,
  moeLayer: number,
  capacities?: readonly number[],
): Float64Array {
  const { numExperts, slotsPerRank } = placement;
  const counts_E = new Int32Array(numExperts[moeLayer]!);
  for (const own_E of counts_RE) for (let e = 0; e < own_E.length; e++) counts_E[e]! += own_E[e]!;
  const left_P = splitCounts(counts_E, placement, moeLayer, -1, capacities);
  const share_P = new Float64Array(left_P.length);
  const wanted_R = new Int32Array(counts_RE.length);
  const take = (source: number, p: number): void => {
    const count = Math.min(wanted_R[source]!, left_P[p]!);
    wanted_R[source]! -= count;
    left_P[p]! -= count;
    if (source === rank) share_P[p]! += count;
  };
  placement.log2phy[moeLayer]!.forEach((replicas, logical) => {
    if ((counts_RE[rank]![logical] ?? 0) === 0) return;
    for (let source = 0; source < wanted_R.length; source++) wanted_R[source] = counts_RE[source]![logical] ?? 0;
    for (const p of replicas) take(Math.floor(p / slotsPerRank), p);
    let source = 0;
    for (const p of replicas) {
      while (source < wanted_R.length && left_P[p]! > 0) {
        take(source, p);
        if (wanted_R[source] === 0) source++;
      }
    }
  });
  return share_P;
}
