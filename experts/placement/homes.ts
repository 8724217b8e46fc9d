/**
 * Homes for experts that no rank holds any more: who takes over what, so that a step can run again. Nothing else moves; how experts are best spread is
 * seen to later. Pure. Shape suffixes: L MoE layers, E logical experts, R ranks.
 */
import { placementFrom, slotsOf, type Placement } from './placement.js';

/** An expert of a layer. */
export interface LayerExpert {
  readonly moeLayer: number;
  readonly logical: number;
}

/** Experts without a replica, layer by layer. */
export function homelessIn({ logcnt }: Placement): LayerExpert[] {
  return logcnt.flatMap((counts, moeLayer) =>
    counts.includes(0) // the rare case
      ? [...counts.keys()].filter((e) => counts[e] === 0).map((logical) => ({ moeLayer, logical }))
      : [],
  );
}

/** Who may take experts over. */
export interface HomesRequest {
  /** What the ranks that are there hold. */
  readonly current: Placement;
  /** Ranks that may take experts, of which each has a slot for each. */
  readonly ranks: readonly number[];
  /** How many a rank has room for, over all layers; ranks that are not in it have room for any number. */
  readonly rooms: ReadonlyMap<number, number>;
  /** What is known of the load. Default: that of all experts is alike. */
  readonly load_LE?: readonly ArrayLike<number>[] | undefined;
  /** Relative speeds by rank. Default: all alike. */
  readonly capacities?: readonly number[] | undefined;
}

/** What comes of it. */
export interface Homes {
  /** The next version of the placement; of the same version where nobody takes anything. */
  readonly next: Placement;
  /** Experts that nobody has room for. */
  readonly homeless: readonly LayerExpert[];
}

/** In each layer, the hottest expert first, each on the rank that carries least and has room. */
export function findHomes(request: HomesRequest): Homes {
  const { current, rooms } = request;
  const missing = homelessIn(current);
  const left = new Map(request.ranks.map((rank) => [rank, rooms.get(rank) ?? Infinity]));
  const tables = [...current.phy2log];
  const homeless: LayerExpert[] = [];
  for (const moeLayer of new Set(missing.map((expert) => expert.moeLayer))) {
    const layer = new LayerHomes(request, moeLayer);
    const own = missing.filter((expert) => expert.moeLayer === moeLayer);
    const hottestFirst = own.sort((a, b) => layer.weight(b.logical) - layer.weight(a.logical));
    for (const expert of hottestFirst) if (!layer.place(expert.logical, left)) homeless.push(expert);
    tables[moeLayer] = layer.table;
  }
  if (homeless.length === missing.length) return { next: current, homeless };
  const { version, numRanks, numExperts } = current;
  return { next: placementFrom(version + 1, numRanks, numExperts, tables), homeless };
}

/** One layer, as it fills. */
class LayerHomes {
  readonly table: Int32Array;
  /** [E] */
  private readonly weights: Float64Array;
  /** [R] what each carries, in units of its speed. */
  private readonly carried: Float64Array;

  constructor(
    private readonly request: HomesRequest,
    moeLayer: number,
  ) {
    const { current, load_LE } = request;
    const { numRanks, logcnt } = current;
    this.table = current.phy2log[moeLayer]!.slice();
    this.weights = weightsOf(load_LE?.[moeLayer], current.numExperts[moeLayer]!);
    this.carried = new Float64Array(numRanks);
    for (let rank = 0; rank < numRanks; rank++) {
      for (const logical of slotsOf(current, moeLayer, rank)) {
        if (logical >= 0) this.carry(rank, this.weights[logical]! / logcnt[moeLayer]![logical]!);
      }
    }
  }

  weight(logical: number): number {
    return this.weights[logical]!;
  }

  /** `left`: how many experts each rank has room for; one fewer then. False: nobody has. */
  place(logical: number, left: Map<number, number>): boolean {
    let best: { readonly rank: number; readonly slot: number } | null = null;
    for (const [rank, room] of left) {
      const slot = this.freeSlotOf(rank);
      if (room < 1 || slot === null) continue;
      if (best === null || this.carried[rank]! < this.carried[best.rank]!) best = { rank, slot };
    }
    if (best === null) return false;
    this.table[best.slot] = logical;
    this.carry(best.rank, this.weights[logical]!);
    left.set(best.rank, left.get(best.rank)! - 1);
    return true;
  }

  /** An empty one, or that of an expert which the rank has in another slot too, as planners may have it; null: there is none. */
  private freeSlotOf(rank: number): number | null {
    const { slotsPerRank } = this.request.current;
    const first = rank * slotsPerRank;
    const own = this.table.subarray(first, first + slotsPerRank);
    const empty = own.indexOf(-1);
    const free = empty >= 0 ? empty : own.findIndex((logical, slot) => own.indexOf(logical) < slot);
    return free < 0 ? null : first + free;
  }

  private carry(rank: number, weight: number): void {
    this.carried[rank]! += weight / (this.request.capacities?.[rank] ?? 1);
  }
}

/** Loads drift: half of what counts is their number. */
function weightsOf(load_E: ArrayLike<number> | undefined, numExperts: number): Float64Array {
  const loads = Float64Array.from(load_E ?? []);
  const mean = loads.reduce((a, b) => a + b, 0) / numExperts;
  return Float64Array.from({ length: numExperts }, (_, e) => (mean > 0 ? loads[e]! / mean : 0) + 1);
}
