/** Which prefixes are hot, and where copies of them go, pool by pool. Time is what the caller says. */
import type { NamedBlocks } from './named_blocks.js';
import { Heat, type HeatOptions } from './heat.js';
import {
  planCopies,
  wantedReplicas,
  type BegunCopy,
  type Copy,
  type PoolMember,
  type ReplicaSettings,
} from './replicas.js';

/** What is counted, and what comes of it. */
export interface ReplicationOptions extends HeatOptions, ReplicaSettings {}

/** Of one router. */
export class Replication {
  private readonly heats = new Map<string, Heat>();

  constructor(private readonly options: ReplicationOptions) {}

  /** A prompt is computed in a pool. */
  asked(pool: string, blocks: NamedBlocks, nowMs: number): void {
    const heat = this.heats.get(pool) ?? new Heat(this.options, this.options.heatPerReplica);
    this.heats.set(pool, heat);
    heat.add(blocks, nowMs);
  }

  /** Copies to begin now. `members`: all instances by their pools; other pools are forgotten. */
  plan(
    members: ReadonlyMap<string, readonly PoolMember[]>,
    begun: readonly BegunCopy[],
    nowMs: number,
  ): readonly Copy[] {
    const { options } = this;
    const copies: Copy[] = [];
    for (const [pool, heat] of this.heats) {
      const among = members.get(pool);
      if (among === undefined) {
        this.heats.delete(pool);
        continue;
      }
      const hot = heat.hot(nowMs, (each) => wantedReplicas(each, options));
      copies.push(...planCopies(hot, among, [...begun, ...copies.map(asBegun)], options));
    }
    return copies;
  }
}

/** A copy that was planned, as those that were begun. */
export const asBegun = ({ keys, to }: Copy): BegunCopy => ({ last: keys.at(-1)!, to, state: 'underway' });
