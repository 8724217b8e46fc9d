/** Looks for the next move that is worth its cost. */
import { arrivalCost, growthGain, removalGain, swapGain } from './gains.js';
import type { LayerSlots } from './layer_slots.js';

/** A change of the slots: two exchange their experts, or one gets another expert. */
export type Move =
  | { readonly kind: 'swap'; readonly a: number; readonly b: number }
  | { readonly kind: 'put'; readonly slot: number; readonly expert: number };

/** Gains below this, with rank times of at most numRanks, may be rounding: chasing them might go in circles. */
const ROUNDING = 1e-12;

/** Searches the moves of one layer's slots; whoever has it makes the moves. */
export class MoveSearch {
  private readonly moveCost: number;
  /** [E] gain of one more replica, on a rank of mean capacity that carries nothing. */
  private readonly growth: Float64Array;
  /** The slots whose expert others hold too, ascending. */
  private readonly spare: Int32Array;
  private numSpare = 0;
  /** For each spare slot: the gain of emptying it, how long its rank takes then, and what each other holder gets of its load. */
  private readonly removal: Float64Array;
  private readonly rest: Float64Array;
  private readonly extra: Float64Array;
  private readonly maxPace: number;
  private best = 0;
  private move: Move | null = null;

  /** A move must gain `moveCost` per replica that changes its rank. */
  constructor(
    private readonly slots: LayerSlots,
    moveCost: number,
    private readonly risk: number,
  ) {
    this.maxPace = Math.max(...slots.pace);
    this.moveCost = Math.max(moveCost, ROUNDING * (slots.numRanks * this.maxPace) ** 2);
    this.growth = new Float64Array(slots.count.length);
    const numSlots = slots.table.length;
    this.spare = new Int32Array(numSlots);
    this.removal = new Float64Array(numSlots);
    this.rest = new Float64Array(numSlots);
    this.extra = new Float64Array(numSlots);
  }

  /** Of the hottest rank that can gain, the move that gains most per replica moved; null when none is worth it. */
  next(): Move | null {
    const { rankTime } = this.slots;
    this.prepare();
    const hottestFirst = Int32Array.from(rankTime, (_, rank) => rank).sort((a, b) => rankTime[b]! - rankTime[a]!);
    this.move = null;
    this.best = this.moveCost;
    for (const hot of hottestFirst) {
      this.trySwaps(hot);
      this.tryGrowing(hot);
      this.tryGivingUp(hot);
      if (this.best > this.moveCost) break;
    }
    return this.move;
  }

  private prepare(): void {
    const { slots, risk, growth, spare, removal, rest, extra } = this;
    for (let expert = 0; expert < growth.length; expert++) growth[expert] = growthGain(slots, risk, expert);
    this.numSpare = 0;
    for (let slot = 0; slot < slots.table.length; slot++) {
      const expert = slots.table[slot]!;
      if (expert < 0 || slots.count[expert]! < 2) continue;
      const rank = slots.rankOf[slot]!;
      const i = this.numSpare++;
      spare[i] = slot;
      removal[i] = removalGain(slots, risk, expert, rank);
      rest[i] = slots.rankTime[rank]! - slots.share[expert]! * slots.pace[rank]!;
      extra[i] = slots.share[expert]! / (slots.count[expert]! - 1);
    }
  }

  /** A heavier replica of the rank for a lighter one of another. */
  private trySwaps(hot: number): void {
    const { slots } = this;
    const { table, share, rankTime, pace, slotsPerRank, numRanks } = slots;
    for (let rank = 0; rank < numRanks; rank++) {
      const difference = rankTime[hot]! - rankTime[rank]!;
      const meanPace = (pace[hot]! + pace[rank]!) / 2;
      // No swap gains more than one of half the difference.
      if (difference <= 0 || swapGain(difference / 2 / meanPace, difference, meanPace) / 2 <= this.best) continue;
      for (let a = hot * slotsPerRank; a < (hot + 1) * slotsPerRank; a++) {
        const heavy = table[a]!;
        if (heavy < 0 || slots.holds(rank, heavy)) continue;
        for (let b = rank * slotsPerRank; b < (rank + 1) * slotsPerRank; b++) {
          const light = table[b]!;
          if (light < 0) continue;
          const gain = swapGain(share[heavy]! - share[light]!, difference, meanPace) / 2; // of each of the two
          if (gain <= this.best || slots.holds(hot, light)) continue;
          this.best = gain;
          this.move = { kind: 'swap', a, b };
        }
      }
    }
  }

  /** One more replica of an expert of the rank, on another. */
  private tryGrowing(hot: number): void {
    const { table, slotsPerRank } = this.slots;
    for (let a = hot * slotsPerRank; a < (hot + 1) * slotsPerRank; a++) {
      if (table[a]! >= 0) this.tryPuts(table[a]!, 0, this.numSpare);
    }
  }

  /** An expert of the rank that others hold too makes room for a colder one. */
  private tryGivingUp(hot: number): void {
    const { rankOf } = this.slots;
    let from = 0;
    while (from < this.numSpare && rankOf[this.spare[from]!]! < hot) from++;
    let to = from;
    while (to < this.numSpare && rankOf[this.spare[to]!] === hot) to++;
    if (to > from) for (let expert = 0; expert < this.growth.length; expert++) this.tryPuts(expert, from, to);
  }

  /** One more replica of an expert in any of the spare slots from … to − 1. */
  private tryPuts(expert: number, from: number, to: number): void {
    const { slots, spare, removal, rest, extra } = this;
    const { table, count, rankOf } = slots;
    const { maxPace } = this;
    const growth = this.growth[expert]!;
    const n = count[expert]!;
    const next = slots.load[expert]! / (n + 1);
    for (let i = from; i < to; i++) {
      const slot = spare[i]!;
      const alone = growth + removal[i]! - arrivalCost(slots, rankOf[slot]!, next, rest[i]!);
      // On ranks that hold both, one takes what the other brings.
      const perCommon = (2 * next * extra[i]!) / n;
      const old = table[slot]!;
      if (alone + perCommon * maxPace * Math.min(n, count[old]! - 1) <= this.best || slots.holds(rankOf[slot]!, expert))
        continue;
      const gain = alone + perCommon * slots.commonPace(old, expert);
      if (gain <= this.best) continue;
      this.best = gain;
      this.move = { kind: 'put', slot, expert };
    }
  }
}
