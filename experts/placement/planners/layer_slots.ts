/**
 * The slots of one layer while a planner changes them: who holds what, and what each rank carries when every expert's load is shared out evenly.
 * Loads are in units of the mean rank load. Suffixes: E experts, R ranks, P slots.
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
  /** [R] */
  readonly rankLoad: Float64Array;
  /** [E·R] 1 where the rank holds the expert. */
  private readonly isHeld: Uint8Array;
  /** [E·R] the ranks that hold an expert, as many as it has replicas. */
  private readonly holders: Int32Array;

  /** Takes the table over. No rank may hold an expert twice. */
  constructor(
    load_E: ArrayLike<number> /** [P] the expert in each slot, −1 = empty. */,
    readonly table: Int32Array,
    readonly numRanks: number,
  ) {
    const numExperts = load_E.length;
    const total = Array.from(load_E).reduce((a, b) => a + b, 0);
    const mean = total > 0 ? total / numRanks : 1;
    this.slotsPerRank = table.length / numRanks;
    this.rankOf = Int32Array.from(table, (_, slot) => Math.floor(slot / this.slotsPerRank));
    this.load = Float64Array.from(load_E, (load) => load / mean);
    this.count = new Int32Array(numExperts);
    this.share = new Float64Array(numExperts);
    this.rankLoad = new Float64Array(numRanks);
    this.isHeld = new Uint8Array(numExperts * numRanks);
    this.holders = new Int32Array(numExperts * numRanks);
    this.recount();
  }

  /** Whether a rank holds an expert, in any of its slots. */
  holds(rank: number, expert: number): boolean {
    return this.isHeld[expert * this.numRanks + rank] === 1;
  }

  /** Σ load of the ranks that hold an expert. */
  holdersLoad(expert: number): number {
    const from = expert * this.numRanks;
    let sum = 0;
    for (let i = from; i < from + this.count[expert]!; i++) sum += this.rankLoad[this.holders[i]!]!;
    return sum;
  }

  /** Ranks that hold both experts. */
  numCommonHolders(a: number, b: number): number {
    const from = a * this.numRanks;
    let common = 0;
    for (let i = from; i < from + this.count[a]!; i++) if (this.holds(this.holders[i]!, b)) common++;
    return common;
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
    const { table, rankOf, count, isHeld, holders, share, rankLoad, load, numRanks } = this;
    count.fill(0);
    isHeld.fill(0);
    for (let slot = 0; slot < table.length; slot++) {
      const expert = table[slot]!;
      if (expert < 0) continue;
      isHeld[expert * numRanks + rankOf[slot]!] = 1;
      holders[expert * numRanks + count[expert]!++] = rankOf[slot]!;
    }
    for (let expert = 0; expert < count.length; expert++) share[expert] = load[expert]! / count[expert]!;
    rankLoad.fill(0);
    for (let slot = 0; slot < table.length; slot++) {
      if (table[slot]! >= 0) rankLoad[rankOf[slot]!]! += share[table[slot]!]!;
    }
  }
}
