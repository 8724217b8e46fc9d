/**
 * How the tokens of an expert are shared out over its replicas. Shape suffixes: E logical experts, P physical experts (slots of all ranks),
 * R ranks.
 * Why: docs/decisions/placement.md#the-balanced-split-is-a-max-flow
 */
import { relativeCapacities } from './capacities.js';
import type { Placement } from './placement.js';
import { Targets } from './split_targets.js';

/** The ways to share out, by name. */
export const REPLICA_SPLITS = ['even', 'balanced'] as const;
/** `even`: every replica the same; `balanced`: so that the rank that takes longest takes as short as possible. */
export type ReplicaSplit = (typeof REPLICA_SPLITS)[number];

/**
 * [P] the load of each physical expert of one MoE layer, from the load [E] of the logical ones. An expert without a replica loads nobody.
 * @param capacities [R] what each rank computes in the same time; default: all alike
 */
export function splitLoad(
  load_E: ArrayLike<number>,
  placement: Placement,
  moeLayer: number,
  split: ReplicaSplit,
  capacities?: ArrayLike<number>,
): Float64Array {
  const load_P = evenSplit(load_E, placement, moeLayer);
  if (split === 'balanced') level(load_P, placement, moeLayer, { capacities });
  return load_P;
}

/**
 * [P] `balanced`, in whole tokens: how many of the counts [E] each replica takes so that the most loaded rank has as few as possible. Of equally
 * good splits, each `source` rank begins with another one: with its own replica where it holds one.
 * @param source −1: of no rank in particular
 * @param capacities as in {@link splitLoad}
 */
export function splitCounts(
  counts_E: ArrayLike<number>,
  placement: Placement,
  moeLayer: number,
  source: number,
  capacities?: ArrayLike<number>,
): Float64Array {
  const count_P = evenCounts(counts_E, placement, moeLayer, source);
  level(count_P, placement, moeLayer, { inWholes: true, turn: source + 1, capacities });
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

/** How load is levelled. */
interface Levelling {
  /** Loads are whole, and stay so. */
  readonly inWholes?: boolean;
  /** Which of an expert's replicas is tried first. */
  readonly turn?: number;
  readonly capacities?: ArrayLike<number> | undefined;
}

/**
 * Moves load between replicas until no split takes less time, a max-flow by shortest augmenting paths. A rank takes its load / its capacity:
 * 1. No split can push the longest time under that of all load by all capacities: that is the first target of every rank.
 * 2. A path leads from a rank above its target, over experts with a replica there and one elsewhere, to a rank below its own: move what fits along it.
 * 3. Where no path is left, the ranks that can be reached have nothing to give to others: the time that they take together is a bound too, and the new
 *    target.
 * In wholes, targets are the lowest times in which whole loads fit, and so only wholes move.
 */
function level(
  load_P: Float64Array,
  placement: Placement,
  moeLayer: number,
  { inWholes = false, turn = 0, capacities }: Levelling = {},
): void {
  const { numRanks, slotsPerRank } = placement;
  const load_R = sumByRank(load_P, placement);
  const total = load_R.reduce((a, b) => a + b, 0);
  const tolerance = inWholes ? 0 : total * RELATIVE_ERROR;
  if (!inWholes && !(tolerance >= MIN_TOLERANCE && total <= Number.MAX_VALUE)) return; // numbers too small or too large to share out
  const search = new PathSearch(placement, moeLayer, turn);
  const targets = new Targets(relativeCapacities(capacities, numRanks), inWholes);
  targets.raise(
    total,
    Array.from({ length: numRanks }, (_, rank) => rank),
  );
  const { target_R } = targets;
  while (load_R.some((load, rank) => load > target_R[rank]! + tolerance)) {
    const end = search.find(load_P, load_R, target_R, tolerance);
    if (end < 0) {
      const reached = search.reached();
      const sum = reached.reduce((all, rank) => all + load_R[rank]!, 0);
      if (!targets.raise(sum, reached)) return; // only rounding is left
      continue;
    }
    const path = search.pathTo(end);
    const start = Math.floor(path[0]![0] / slotsPerRank);
    const amounts = path.map(([from]) => load_P[from]!);
    const amount = Math.min(load_R[start]! - target_R[start]!, target_R[end]! - load_R[end]!, ...amounts);
    for (const [from, to] of path) {
      load_P[from]! -= amount;
      load_P[to]! += amount;
    }
    load_R[start]! -= amount;
    load_R[end]! += amount;
  }
}

/** Breadth first from the ranks above their targets, over the replicas of shared experts. */
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

  /** The first rank below its target that is reached; −1 where there is none. */
  find(load_P: Float64Array, load_R: Float64Array, target_R: Float64Array, tolerance: number): number {
    this.isSeen.fill(0);
    this.numQueued = 0;
    for (let rank = 0; rank < load_R.length; rank++) {
      if (load_R[rank]! > target_R[rank]! + tolerance) this.visit(rank, -1, -1);
    }
    for (let next = 0; next < this.numQueued; next++) {
      for (const p of this.shared[this.queue[next]!]!) {
        if (load_P[p]! <= tolerance) continue; // nothing to move
        const replicas = this.replicas[this.phy2log[p]!]!;
        for (let i = 0; i < replicas.length; i++) {
          const q = replicas[(this.turn + i) % replicas.length]!;
          const rank = this.rankOf(q);
          if (this.isSeen[rank] === 1) continue;
          this.visit(rank, p, q);
          if (load_R[rank]! < target_R[rank]! - tolerance) return rank;
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
