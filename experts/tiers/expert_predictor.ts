/**
 * Which experts a layer will want, from those that the layer before it computed with: how often they were wanted together so far. Behind the last layer comes the first one of the
 * next step. It decides nothing but what is read ahead. No effects outside.
 */

/** The experts of one layer that a rank computed with. */
export interface LayerUse {
  /** Among the layers that are predicted, from 0. */
  readonly place: number;
  readonly experts: readonly number[];
}

/** An expert that will be wanted, and how likely that is: the mean over what was used before it. */
export interface Predicted {
  readonly expert: number;
  readonly chance: number;
}

/** Counts of an expert beyond which older ones fade. */
const MOST_SEEN = 1024;

/** Learns while it is asked. */
export class ExpertPredictor {
  /** By place: [E of the place, E of the next], made when it is first needed. */
  private readonly together: Float32Array[] = [];
  /** By place [E]: how often each was seen. */
  private readonly seen: Float32Array[] = [];

  /** @param numExperts by place: E */
  constructor(private readonly numExperts: readonly number[]) {}

  /** The place behind one. */
  next(place: number): number {
    return (place + 1) % this.numExperts.length;
  }

  /** `after` was used behind `before`. What isn't of the next place teaches nothing. */
  learn(before: LayerUse, after: LayerUse): void {
    if (this.next(before.place) !== after.place) return;
    const [seen, together] = this.tablesOf(before.place);
    const width = this.numExperts[after.place]!;
    for (const expert of before.experts) {
      const row = together.subarray(expert * width, (expert + 1) * width);
      for (const other of after.experts) row[other]!++;
      seen[expert]!++;
      if (seen[expert]! <= MOST_SEEN) continue;
      seen[expert]! /= 2;
      for (let other = 0; other < width; other++) row[other]! /= 2;
    }
  }

  /** What the next place will want with at least this chance, most likely first, and of equals the lower expert. */
  predict({ place, experts }: LayerUse, leastChance: number): Predicted[] {
    const [seen, together] = this.tablesOf(place);
    const width = this.numExperts[this.next(place)]!;
    const chances = new Float64Array(width);
    for (const expert of experts) {
      if (seen[expert] === 0) continue;
      const share = 1 / (seen[expert]! * experts.length);
      for (let other = 0; other < width; other++) chances[other]! += share * together[expert * width + other]!;
    }
    const likely = Array.from(chances, (chance, expert) => ({ expert, chance })).filter(
      ({ chance }) => chance > 0 && chance >= leastChance,
    );
    return likely.sort((a, b) => b.chance - a.chance || a.expert - b.expert);
  }

  private tablesOf(place: number): [seen: Float32Array, together: Float32Array] {
    const [own, next] = [this.numExperts[place]!, this.numExperts[this.next(place)]!];
    const seen = (this.seen[place] ??= new Float32Array(own));
    return [seen, (this.together[place] ??= new Float32Array(own * next))];
  }
}
