/**
 * How the tokens of an expert are shared out over its replicas. Shape suffixes: E logical experts, P physical experts (slots of all ranks),
 * R ranks.
 * Why: docs/decisions/placement.md#the-balanced-split-is-a-max-flow
 */
import type { Placement } from './placement.js';

/** The ways to share out, by name. */
export const REPLICA_SPLITS = ['even', 'balanced'] as const;
/** `even`: every replica the same; `balanced`: so that the most loaded rank has as little as possible. */
export type ReplicaSplit = (typeof REPLICA_SPLITS)[number];

/** [P] the load of each physical expert of one MoE layer, from the load [E] of the logical ones. An expert without a replica loads nobody. */
export function splitLoad(
  load_E: ArrayLike<number>,
  placement: Placement,
  moeLayer: number,
  split: ReplicaSplit,
): Float64Array {
  const load_P = evenSplit(load_E, placement, moeLayer);
  if (split === 'balanced') level(load_P, placement, moeLayer);
  return load_P;
}

/**
 * [P] `balanced`, in whole tokens: how many of the counts [E] each replica takes so that the most loaded rank has as few as possible. Of equally
 * good splits, each `source` rank begins with another one: with its own replica where it holds one.
 * @param source −1: of no rank in particular
 */
export function splitCounts(
  counts_E: ArrayLike<number>,
  placement: Placement,
  moeLayer: number,
  source: number,
): Float64Array {
  const count_P = evenCounts(counts_E, placement, moeLayer, source);
  level(count_P, placement, moeLayer, { inWholes: true, turn: source + 1 });
  return count_P;
}

/** [R] the load of each rank, from that of the physical experts [P]. */
export function sumByRank(load_P: ArrayLike<number>, { numRanks, slotsPerRank }: Placement): Float64Array {
  const load_R = new Float64Array(numRanks);
  for (let p = 0; p < load_P.length; p++) load_R[Math.floor(p / slotsPerRank)]! += load_P[p]!;
  return load_R;
}

function evenSplit(load_E: ArrayLike<number>, { phy2log, logcnt }: Placement, moeLayer: number): Float64Array {
  return Float64Array.from(phy2log[moeLayer]!, (logical) =>
    logical < 0 ? 0 : load_E[logical]! / logcnt[moeLayer]![logical]!,
  );
}

/** Every replica ⌊count / replicas⌋; one more for as many as it takes. */
function evenCounts(
  counts_E: ArrayLike<number>,
  { phy2log, log2phy, slotsPerRank }: Placement,
  moeLayer: number,
  source: number,
): Float64Array {
  const count_P = new Float64Array(phy2log[moeLayer]!.length);
  log2phy[moeLayer]!.forEach((replicas, logical) => {
    const n = replicas.length;
    const count = counts_E[logical]!;
    if (n === 0 || count === 0) return;
    const own = replicas.findIndex((p) => Math.floor(p / slotsPerRank) === source);
    const first = own >= 0 ? own : (source + 1 + logical) % n;
    const each = Math.floor(count / n);
    const numOdd = count - each * n;
    for (let i = 0; i < n; i++) count_P[replicas[(first + i) % n]!] = each + (i < numOdd ? 1 : 0);
  });
  return count_P;
}

/** What float64 sums of loads may be off by. */
const RELATIVE_ERROR = 1e-12;
/** Below it, moving load would round to nothing, and no search would end. */
const MIN_TOLERANCE = 1e-300;

/**
 * Moves load between replicas until no split has a lower maximum, a max-flow by shortest augmenting paths:
 * 1. No split can push the maximum under the mean of all ranks: that is the first target.
 * 2. A path leads from a rank above the target, over experts with a replica there and one elsewhere, to a rank below it: move what fits along it.
 * 3. Where no path is left, the ranks that can be reached have nothing to give to others: their mean is a bound too, and the new target.
 * In wholes, bounds round up, and so only wholes move.
 */
function level(
  load_P: Float64Array,
  placement: Placement,
  moeLayer: number,
  { inWholes = false, turn = 0 }: { readonly inWholes?: boolean; readonly turn?: number } = {},
): void {
  const bound = (mean: number): number => (inWholes ? Math.ceil(mean) : mean);
  const { numRanks, slotsPerRank } = placement;
  const load_R = sumByRank(load_P, placement);
  const total = load_R.reduce((a, b) => a + b, 0);
  const tolerance = inWholes ? 0 : total * RELATIVE_ERROR;
  if (!inWholes && !(tolerance >= MIN_TOLERANCE && total <= Number.MAX_VALUE)) return; // numbers too small or too large to share out
  const search = new PathSearch(placement, moeLayer, turn);
  let target = bound(total / numRanks);
  while (load_R.some((load) => load > target + tolerance)) {
    const end = search.find(load_P, load_R, target, tolerance);
    if (end < 0) {
      const reached = search.reached();
      const next = bound(reached.reduce((sum, rank) => sum + load_R[rank]!, 0) / reached.length);
      if (!(next > target)) return; // only rounding is left
      target = next;
      continue;
    }
    const path = search.pathTo(end);
    const start = Math.floor(path[0]![0] / slotsPerRank);
    const amounts = path.map(([from]) => load_P[from]!);
    const amount = Math.min(load_R[start]! - target, target - load_R[end]!, ...amounts);
    for (const [from, to] of path) {
      load_P[from]! -= amount;
      load_P[to]! += amount;
    }
    load_R[start]! -= amount;
    load_R[end]! += amount;
  }
}

/** Breadth first from the ranks above a target, over the replicas of shared experts. */
class PathSearch {
  private readonly slotsPerRank: number;
  private readonly replicas: readonly Int32Array[];
  private readonly phy2log: Int32Array;
  /** By rank: its slots whose expert has replicas elsewhere too. */
  private readonly shared: readonly number[][];
  private readonly queue: Int32Array;
  private numQueued = 0;
  /** By rank: the replicas between which load moved towards it, −1 at the start of a path. */
  private readonly from: Int32Array;
  private readonly to: Int32Array;
  private readonly isSeen: Uint8Array;

  constructor(
    { numRanks, slotsPerRank, phy2log, log2phy, logcnt }: Placement,
    moeLayer: number /** Which of an expert's replicas is tried first. */,
    private readonly turn: number,
  ) {
    this.slotsPerRank = slotsPerRank;
    this.replicas = log2phy[moeLayer]!;
    this.phy2log = phy2log[moeLayer]!;
    this.shared = Array.from({ length: numRanks }, (): number[] => []);
    this.phy2log.forEach((logical, p) => {
      if (logical >= 0 && logcnt[moeLayer]![logical]! > 1) this.shared[this.rankOf(p)]!.push(p);
    });
    this.queue = new Int32Array(numRanks);
    this.from = new Int32Array(numRanks);
    this.to = new Int32Array(numRanks);
    this.isSeen = new Uint8Array(numRanks);
  }

  /** The first rank below the target that is reached; −1 where there is none. */
  find(load_P: Float64Array, load_R: Float64Array, target: number, tolerance: number): number {
    this.isSeen.fill(0);
    this.numQueued = 0;
    for (let rank = 0; rank < load_R.length; rank++) if (load_R[rank]! > target + tolerance) this.visit(rank, -1, -1);
    for (let next = 0; next < this.numQueued; next++) {
      for (const p of this.shared[this.queue[next]!]!) {
        if (load_P[p]! <= tolerance) continue; // nothing to move
        const replicas = this.replicas[this.phy2log[p]!]!;
        for (let i = 0; i < replicas.length; i++) {
          const q = replicas[(this.turn + i) % replicas.length]!;
          const rank = this.rankOf(q);
          if (this.isSeen[rank] === 1) continue;
          this.visit(rank, p, q);
          if (load_R[rank]! < target - tolerance) return rank;
        }
      }
    }
    return -1;
  }

  /** Every rank that the last search came to. */
  reached(): Int32Array {
    return this.queue.subarray(0, this.numQueued);
  }

  /** [from, to] replicas along which load moves to `end`, from the start on. */
  pathTo(end: number): readonly (readonly [number, number])[] {
    const path: [number, number][] = [];
    for (let rank = end; this.from[rank]! >= 0; rank = this.rankOf(this.from[rank]!)) {
      path.unshift([this.from[rank]!, this.to[rank]!]);
    }
    return path;
  }

  private visit(rank: number, from: number, to: number): void {
    this.isSeen[rank] = 1;
    this.queue[this.numQueued++] = rank;
    this.from[rank] = from;
    this.to[rank] = to;
  }

  private rankOf(physical: number): number {
    return Math.floor(physical / this.slotsPerRank);
  }
}
