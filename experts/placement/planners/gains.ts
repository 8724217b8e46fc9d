/**
 * What a change of the slots would gain. The aim is the expected Σ over ranks of (load)², in units of the mean rank load, when every expert's load
 * is off by a relative error of its own with variance `risk`, and replicas share it evenly:
 *
 *   Q = Σ_r load_r² + risk · Σ_e load_e² / replicas_e
 *
 * The first term is least when all ranks carry the same; the second wants replicas of what is hot, before it gets hotter. A gain is how much Q falls:
 * exact, in a few operations, whatever the size of the layer.
 */
import type { LayerSlots } from './layer_slots.js';

/** Of one more replica of an expert, on a rank that carries nothing. */
export function growthGain(slots: LayerSlots, risk: number, expert: number): number {
  const n = slots.count[expert]!;
  const load = slots.load[expert]!;
  const next = load / (n + 1);
  const relief = next / n; // of each present holder
  return 2 * relief * slots.holdersLoad(expert) - n * relief * relief - next * next + risk * load * relief;
}

/** Of taking an expert that others hold too from a rank. */
export function removalGain(slots: LayerSlots, risk: number, expert: number, rank: number): number {
  const n = slots.count[expert]!;
  const load = slots.load[expert]!;
  const share = slots.share[expert]!;
  const extra = share / (n - 1); // for each holder that is left
  const rankLoad = slots.rankLoad[rank]!;
  const others = slots.holdersLoad(expert) - rankLoad;
  return 2 * share * rankLoad - share * share - 2 * extra * others - (n - 1) * extra * extra - risk * load * extra;
}

/** Of exchanging a replica that carries d more for one of a rank that carries `difference` less. */
export const swapGain = (d: number, difference: number): number => 2 * d * (difference - d);
