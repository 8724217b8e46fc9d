/**
 * What a change of the slots would gain. The aim is the expected Σ over ranks of (load)², in units of the mean rank load, when every expert's load
 * is off by a relative error of its own with variance `risk`, and replicas share it evenly:
 *
 *   Q = Σ_r load_r² / capacity_r + risk · Σ_e load_e² / replicas_e
 *
 * The first term is least when all ranks take the same time, load_r / capacity_r; the second wants replicas of what is hot, before it gets hotter. A gain
 * is how much Q falls: exact, in a few operations, whatever the size of the layer.
 */
import type { LayerSlots } from './layer_slots.js';

/** Of one more replica of an expert, on a rank of mean capacity that carries nothing. */
export function growthGain(slots: LayerSlots, risk: number, expert: number): number {
  const n = slots.count[expert]!;
  const load = slots.load[expert]!;
  const next = load / (n + 1);
  const relief = next / n; // of each present holder
  const { time, pace } = slots.holders(expert);
  return 2 * relief * time - pace * relief * relief - next * next + risk * load * relief;
}

/** What a replica with this share costs more than {@link growthGain} says, on a rank that takes this time without it. */
export const arrivalCost = ({ pace }: LayerSlots, rank: number, share: number, rankTime: number): number =>
  2 * share * rankTime + share * share * (pace[rank]! - 1);

/** Of taking an expert that others hold too from a rank. */
export function removalGain(slots: LayerSlots, risk: number, expert: number, rank: number): number {
  const n = slots.count[expert]!;
  const load = slots.load[expert]!;
  const share = slots.share[expert]!;
  const extra = share / (n - 1); // for each holder that is left
  const [rankTime, pace] = [slots.rankTime[rank]!, slots.pace[rank]!];
  const holders = slots.holders(expert);
  const [others, othersPace] = [holders.time - rankTime, holders.pace - pace];
  return (
    2 * share * rankTime - share * share * pace - 2 * extra * others - othersPace * extra * extra - risk * load * extra
  );
}

/** Of exchanging a replica that carries d more for one of a rank that takes `difference` less time; `pace`: the mean of both. */
export const swapGain = (d: number, difference: number, pace: number): number => 2 * d * (difference - d * pace);
