/** The placement that steps run with, through moves of experts and losses of ranks. */
import { placementFrom, slotsOf, withoutRanks, type Placement } from './placement.js';

/** The head and every rank have one, and change it between the same two steps. */
export class LivePlacement {
  private all: Placement;
  private present: Placement;
  private absent: readonly number[] = [];

  constructor(first: Placement) {
    this.all = first;
    this.present = first;
  }

  /** What lost ranks held is still in it. */
  get whole(): Placement {
    return this.all;
  }

  /** What the ranks that are left hold; the same object until it changes. */
  get left(): Placement {
    return this.present;
  }

  get version(): number {
    return this.all.version;
  }

  /** All ranks that were lost so far, ascending. */
  get lost(): readonly number[] {
    return this.absent;
  }

  /** The ranks that are left, ascending. */
  get ranks(): readonly number[] {
    return [...Array(this.all.numRanks).keys()].filter((rank) => !this.absent.includes(rank));
  }

  /** The next version is in force. */
  commit(next: Placement): void {
    this.all = next;
    this.present = this.absent.length === 0 ? next : withoutRanks(next, this.absent);
  }

  /** These ranks hold nothing any more, nor do those that were lost before. */
  lose(ranks: readonly number[]): void {
    this.absent = [...new Set([...this.absent, ...ranks])].sort((a, b) => a - b);
    this.commit(this.all);
  }

  /** {@link left} as planners want it, over the ranks that are left, numbered without gaps: rank i of the result is `ranks[i]`. */
  compacted(): Placement {
    const { ranks, present } = this;
    const tables = present.phy2log.map((_, layer) =>
      Int32Array.from(ranks.flatMap((rank) => [...slotsOf(present, layer, rank)])),
    );
    return placementFrom(present.version, ranks.length, present.numExperts, tables);
  }

  /** A plan over {@link compacted} ranks in the layout of all ranks, of whose slots it may use fewer; lost ranks hold nothing. The next version. */
  expanded(plan: Placement): Placement {
    const { version, numRanks, numExperts, slotsPerRank } = this.all;
    const { ranks } = this;
    const tables = plan.phy2log.map((_, layer) => {
      const whole = new Int32Array(numRanks * slotsPerRank).fill(-1);
      for (const [i, rank] of ranks.entries()) whole.set(slotsOf(plan, layer, i), rank * slotsPerRank);
      return whole;
    });
    return placementFrom(version + 1, numRanks, numExperts, tables);
  }
}
