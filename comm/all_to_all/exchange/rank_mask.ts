/** The peers that a rank leaves out: changed by losses, by the caller and by a job's head. */
import { CommError } from '../../base/errors.js';
import type { Rank } from '../../../base/ids.js';
import type { Mesh } from '../../mesh/mesh.js';

/** A set of peers whose frames the mesh discards while they are in it. */
export class RankMask {
  private readonly masked = new Set<Rank>();

  constructor(private readonly mesh: Mesh) {}

  /** Whether the rank is left out. */
  has(rank: Rank): boolean {
    return this.masked.has(rank);
  }

  get isEmpty(): boolean {
    return this.masked.size === 0;
  }

  get size(): number {
    return this.masked.size;
  }

  /** Ascending. */
  ranks(): Rank[] {
    return [...this.masked].sort((a, b) => a - b);
  }

  /** From now on what the rank sends is discarded; whoever waits for it is told ABORTED. */
  add(rank: Rank): void {
    const { size, rank: own } = this.mesh;
    if (!Number.isInteger(rank) || rank < 0 || rank >= size || rank === own) {
      throw new CommError('INVALID_ARGUMENT', `rank ${rank} can't be masked by rank ${own} of ${size}; pass a peer`);
    }
    this.masked.add(rank);
    this.mesh.mute(rank, true);
  }

  /** Hears a rank again, or all of them; one that isn't masked stays as it is. */
  delete(rank?: Rank): void {
    for (const masked of rank === undefined ? this.ranks() : [rank]) {
      if (this.masked.delete(masked)) this.mesh.mute(masked, false);
    }
  }
}
