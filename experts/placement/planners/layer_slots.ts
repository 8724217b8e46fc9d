import { relativeCapacities } from '../capacities.js';

/**
 * The slots of one layer while a planner changes them: who holds what, and how long each rank takes when every expert's load is shared out evenly.
 * Loads are in units of the mean rank load, times in those of a rank of mean capacity with that load. Suffixes: E experts, R ranks, P slots.
 */
export class LayerSlots {
  readonly slotsPerRank: number;
  /** [P] */
  readonly rankOf: Int32Array;
  /** [E] */
  readonly load: Float64Array;
  /** [E] replicas. */
  readonly count: Int32Array;
  /** [E] load of one replica. */
  readonly share: Float64Array;
  /** [R] its load by its capacity. */
  readonly rankTime: Float64Array;
  /** [R] time that a rank takes for the mean rank load: 1 where ranks are alike. */
  readonly pace: Float64Array;
  readonly numRanks: number;
  /** [E·R] 1 where the rank holds the expert. */
  private readonly isHeld: Uint8Array;
  /** [E·R] the ranks that hold an expert, as many as it has replicas. */
  private readonly holders_ER: Int32Array;

  /** Takes the table over. No rank may hold an expert twice. */
  constructor(
    load_E: ArrayLike<number> /** [P] the expert in each slot, −1 = empty. */,
    readonly table: Int32Array,
    capacities: readonly number[] /** [R] what each rank computes in the same time. */,
  ) {
    const numRanks = capacities.length;
    this.numRanks = numRanks;
    const numExperts = load_E.length;
    const total = Array.from(load_E).reduce((a, b) => a + b, 0);
    const mean = total > 0 ? total / numRanks : 1;
    this.slotsPerRank = table.length / numRanks;
    this.rankOf = Int32Array.from(table, (_, slot) => Math.floor(slot / this.slotsPerRank));
    this.load = Float64Array.from(load_E, (load) => load / mean);
    this.count = new Int32Array(numExperts);
    this.share = new Float64Array(numExperts);
    this.rankTime = new Float64Array(numRanks);
    this.pace = relativeCapacities(capacities, numRanks).map((capacity) => 1 / capacity);
    this.isHeld = new Uint8Array(numExperts * numRanks);
    this.holders_ER = new Int32Array(numExperts * numRanks);
    this.recount();
  }

  /** Whether a rank holds an expert, in any of its slots. */
  holds(rank: number, expert: number): boolean {
    return this.isHeld[expert * this.numRanks + rank] === 1;
  }

  /** Σ time and Σ pace of the ranks that hold an expert. */
  holders(expert: number): { readonly time: number; readonly pace: number } {
    const from = expert * this.numRanks;
    let [time, pace] = [0, 0];
    for (let i = from; i < from + this.count[expert]!; i++) {
      const rank = this.holders_ER[i]!;
      time += this.rankTime[rank]!;
      pace += this.pace[rank]!;
    }
    return { time, pace };
  }

  /** Σ pace of the ranks that hold both experts. */
  commonPace(a: number, b: number): number {
    const from = a * this.numRanks;
    let pace = 0;
    for (let i = from; i < from + this.count[a]!; i++) {
      const rank = this.holders_ER[i]!;
      if (this.holds(rank, b)) pace += this.pace[rank]!;
    }
    return pace;
  }

  /** Puts an expert into a slot; what was there loses a replica. */
  put(slot: number, expert: number): void {
    this.table[slot] = expert;
    this.recount();
  }

  /** Exchanges the contents of two slots. */
  swap(a: number, b: number): void {
    [this.table[a], this.table[b]] = [this.table[b]!, this.table[a]!];
    this.recount();
  }

  /** From the table alone, so that no sum depends on the changes that led there: it takes a microsecond. */
  private recount(): void {
    const { table, rankOf, count, isHeld, holders_ER, share, rankTime, load, numRanks } = this;
    count.fill(0);
    isHeld.fill(0);
    for (let slot = 0; slot < table.length; slot++) {
      const expert = table[slot]!;
      if (expert < 0) continue;
      isHeld[expert * numRanks + rankOf[slot]!] = 1;
      holders_ER[expert * numRanks + count[expert]!++] = rankOf[slot]!;
    }
    for (let expert = 0; expert < count.length; expert++) share[expert] = load[expert]! / count[expert]!;
    rankTime.fill(0);
    for (let slot = 0; slot < table.length; slot++) {
      if (table[slot]! >= 0) rankTime[rankOf[slot]!]! += share[table[slot]!]!;
    }
    for (let rank = 0; rank < numRanks; rank++) rankTime[rank]! *= this.pace[rank]!;
  }
}
