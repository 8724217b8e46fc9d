/** Load and whereabouts of every expert, as the page was told of them. Pure. Shape suffixes: L MoE layers, E logical experts, R ranks. */
import type { LiveDelta, LiveLoad, LiveModel, LivePlacement, LiveSnapshot } from '../../server/live/messages.js';
import { bytesOf } from './base64.js';

/** A place on the map: the index of a MoE layer, and a logical expert. */
export interface ExpertPlace {
  readonly layer: number;
  readonly expert: number;
}

/** Immutable. */
export class ExpertMap {
  private constructor(
    private readonly model: LiveModel,
    /** [L·E]: 255 · √(load / max). */
    readonly bytes: Uint8Array,
    private readonly load: LiveLoad,
    readonly placement: LivePlacement,
    /** Per layer and expert the ranks that hold it, ascending, an absent one too: [L][E]. */
    private readonly ranks_LE: readonly (readonly (readonly number[])[])[],
  ) {}

  /** As a snapshot tells it. */
  static of({ model, load, placement }: Pick<LiveSnapshot, 'model' | 'load' | 'placement'>): ExpertMap {
    return new ExpertMap(model, bytesOf(load.base64), load, placement, ranksOf(model, placement));
  }

  /** After a delta; the same map where it tells nothing of experts. */
  updated({ load, placement }: Pick<LiveDelta, 'load' | 'placement'>): ExpertMap {
    if (load === undefined && placement === undefined) return this;
    const ranks_LE = placement === undefined ? this.ranks_LE : ranksOf(this.model, placement);
    const bytes = load === undefined ? this.bytes : bytesOf(load.base64);
    return new ExpertMap(this.model, bytes, load ?? this.load, placement ?? this.placement, ranks_LE);
  }

  get numLayers(): number {
    return this.model.moeLayers.length;
  }

  /** The most that a layer has. */
  get numExperts(): number {
    return this.model.numExperts;
  }

  /** Experts of one layer. */
  countIn(layer: number): number {
    return this.model.numExpertsByLayer?.[layer] ?? this.model.numExperts;
  }

  /** Tokens of the most chosen expert. */
  get maxLoad(): number {
    return this.load.maxLoad;
  }

  /** Tokens that chose it in the window of the last steps, to about 1 % of the larger ones. */
  loadOf({ layer, expert }: ExpertPlace): number {
    return this.load.maxLoad * (this.bytes[layer * this.numExperts + expert]! / 255) ** 2;
  }

  /** Times the mean of its layer's experts; 0 without load. */
  relativeLoadOf(place: ExpertPlace): number {
    const total = this.load.total_L[place.layer]!;
    return total === 0 ? 0 : (this.loadOf(place) * this.countIn(place.layer)) / total;
  }

  /** Ranks that hold it, ascending, each as often as it does; those that aren't there hold nothing. */
  ranksOf({ layer, expert }: ExpertPlace): readonly number[] {
    const { absentRanks } = this.placement;
    return this.ranks_LE[layer]![expert]!.filter((rank) => !absentRanks.includes(rank));
  }

  /** Those with the most load against the mean of their layer, most first. */
  hottest(count: number): readonly ExpertPlace[] {
    const top: { readonly place: ExpertPlace; readonly load: number }[] = [];
    for (let i = 0; i < this.bytes.length; i++) {
      const place = { layer: Math.floor(i / this.numExperts), expert: i % this.numExperts };
      const load = this.relativeLoadOf(place);
      if (load === 0 || (top.length === count && load <= top.at(-1)!.load)) continue;
      const at = top.findIndex((each) => each.load < load);
      top.splice(at < 0 ? top.length : at, 0, { place, load });
      if (top.length > count) top.pop();
    }
    return top.map(({ place }) => place);
  }
}

function ranksOf({ numExperts, moeLayers }: LiveModel, placement: LivePlacement): number[][][] {
  const { slotsPerRank, phy2logBase64 } = placement;
  const ranks_LE: number[][][] = [];
  for (const layer of moeLayers.keys()) {
    const text = phy2logBase64[layer] ?? null;
    ranks_LE.push(text === null ? ranks_LE.at(-1)! : invert(bytesOf(text), numExperts, slotsPerRank));
  }
  return ranks_LE;
}

function invert(bytes: Uint8Array, numExperts: number, slotsPerRank: number): number[][] {
  const ranks_E = Array.from({ length: numExperts }, (): number[] => []);
  for (let p = 0; 2 * p < bytes.length; p++) {
    const logical = bytes[2 * p]! + 256 * bytes[2 * p + 1]!;
    ranks_E[logical]?.push(Math.floor(p / slotsPerRank)); // not of an empty slot
  }
  return ranks_E;
}
