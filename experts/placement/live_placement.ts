/** The placement that steps run with, through moves of experts and ranks that come and go. */
import { placementFrom, slotsOf, withoutRanks, type Placement } from './placement.js';

/** The head and every rank have one, and change it between the same two steps. */
export class LivePlacement {
  private all: Placement;
  private present: Placement;
  private absent: readonly number[] = [];

  /** `absent`: seats that nobody has taken yet, which hold nothing. Default none. */
  constructor(first: Placement, absent: readonly number[] = []) {
    this.all = first;
    this.present = first;
    this.enter(absent);
  }

  /** What absent ranks held is still in it. */
  get whole(): Placement {
    return this.all;
  }

  /** What the ranks that are there hold; the same object until it changes. */
  get left(): Placement {
    return this.present;
  }

  get version(): number {
    return this.all.version;
  }

  /** Ranks that are not there: lost, gone, or not there yet; ascending. */
  get lost(): readonly number[] {
    return this.absent;
  }

  /** The ranks that are there, ascending. */
  get ranks(): readonly number[] {
    return [...Array(this.all.numRanks).keys()].filter((rank) => !this.absent.includes(rank));
  }

  /** The next version is in force. */
  commit(next: Placement): void {
    this.all = next;
    this.present = this.absent.length === 0 ? next : withoutRanks(next, this.absent);
  }

  /** All ranks that are not there from now on, of any order. They hold nothing, and nor do those that weren't there before and are now. */
  enter(absent: readonly number[]): void {
    const joined = this.absent.filter((rank) => !absent.includes(rank));
    this.absent = [...new Set(absent)].sort((a, b) => a - b);
    this.commit(joined.length === 0 ? this.all : withoutRanks(this.all, joined));
  }

  /**
   * {@link left} as planners want it, over some ranks, numbered without gaps: rank i of the result is `ranks[i]`. What others hold is left out.
   * @param ranks ascending; default all that are there
   */
  compacted(ranks: readonly number[] = this.ranks): Placement {
    const { present } = this;
    const tables = present.phy2log.map((_, layer) =>
      Int32Array.from(ranks.flatMap((rank) => [...slotsOf(present, layer, rank)])),
    );
    return placementFrom(present.version, ranks.length, present.numExperts, tables);
  }

  /** A plan over {@link compacted} ranks in the layout of all ranks, of whose slots it may use fewer; the other ranks hold nothing. The next version. */
  expanded(plan: Placement, ranks: readonly number[] = this.ranks): Placement {
    const { version, numRanks, numExperts, slotsPerRank } = this.all;
    const tables = plan.phy2log.map((_, layer) => {
      const whole = new Int32Array(numRanks * slotsPerRank).fill(-1);
      for (const [i, rank] of ranks.entries()) whole.set(slotsOf(plan, layer, i), rank * slotsPerRank);
      return whole;
    });
    return placementFrom(version + 1, numRanks, numExperts, tables);
  }
}
