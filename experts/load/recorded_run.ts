/** Which placements computed a recorded load, and what each rank carried. Shape suffixes: L MoE layers, R ranks. */
import { rankLoads } from '../placement/balance.js';
import type { ExpertCounts } from '../placement/expert_counts.js';
import { LoadMonitor } from './load_monitor.js';
import { placementFrom, type Placement } from '../placement/placement.js';
import type { PlacementRecord, RecordedSlots, RecordingHeader } from './recording.js';
import { REPLICA_SPLITS, type ReplicaSplit } from '../placement/replica_split.js';

/** What a recording says of the placements that ran. */
export interface RecordedRun {
  /** The last one that ran. */
  readonly placement: Placement;
  /** How many ran, one after the other. */
  readonly numPlacements: number;
  /** [L][R] of the whole recording, each load counted under the placement that ran then, by how it is shared out over replicas. */
  readonly rankLoad: Readonly<Record<ReplicaSplit, readonly Float64Array[]>>;
}

/** Fed with a recording's lines in their order. */
export class RunCounter {
  private readonly numExperts: ExpertCounts;
  /** Since the placement changed. */
  private readonly load: LoadMonitor;
  private readonly rankLoad: Readonly<Record<ReplicaSplit, readonly Float64Array[]>>;
  private placement: Placement | null = null;
  private numPlacements = 0;
  private mostRanks = 0;

  constructor(
    { numLayers, numExperts }: RecordingHeader,
    private readonly slots: RecordedSlots,
  ) {
    this.numExperts = numExperts;
    this.load = new LoadMonitor(numLayers, numExperts);
    const { numRanks, maxSlots = numRanks } = slots;
    const zeros = (): Float64Array[] => Array.from({ length: numLayers }, () => new Float64Array(maxSlots)); // a slot each, at most
    this.rankLoad = { even: zeros(), balanced: zeros() };
  }

  /** @throws Error where layers are missing in the first record, or in the first of another size */
  place({ version, numRanks = this.slots.numRanks, layers }: PlacementRecord): void {
    this.settle();
    const isSame = this.placement?.numRanks === numRanks;
    const tables = new Map(isSame ? this.placement!.phy2log.entries() : []);
    for (const { moeLayer, phy2log } of layers) tables.set(moeLayer, phy2log);
    const numSlots = layers[0]?.phy2log.length ?? 0;
    const phy2log = this.rankLoad.even.map((_, layer) => {
      const table = tables.get(layer);
      if (table?.length === numSlots) return table;
      throw new Error(`the first placement of its size doesn't say where the experts of layer ${layer} are`);
    });
    this.placement = placementFrom(version, numRanks, this.numExperts, phy2log);
    this.mostRanks = Math.max(this.mostRanks, numRanks);
    this.numPlacements++;
  }

  /** Where what comes next is counted. @throws Error before any placement */
  get current(): LoadMonitor {
    if (this.placement === null) throw new Error('load comes before the placement that it ran with');
    return this.load;
  }

  /** Null where nothing ran. */
  result(): RecordedRun | null {
    this.settle();
    const { placement, numPlacements, rankLoad, mostRanks } = this;
    const cut = (load_LR: readonly Float64Array[]): Float64Array[] =>
      load_LR.map((load_R) => load_R.slice(0, mostRanks));
    const own = { even: cut(rankLoad.even), balanced: cut(rankLoad.balanced) };
    return placement && { placement, numPlacements, rankLoad: own };
  }

  private settle(): void {
    if (this.placement === null) return;
    for (const split of REPLICA_SPLITS) {
      for (const [layer, load_R] of this.rankLoad[split].entries()) {
        const more = rankLoads(this.load.load_LE[layer]!, this.placement, layer, split);
        for (const [rank, load] of more.entries()) load_R[rank]! += load;
      }
    }
    this.load.reset();
  }
}
