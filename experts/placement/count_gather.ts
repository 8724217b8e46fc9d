/** The one round of messages that `replica_choice: allgather` costs per MoE layer: 4 bytes per expert from every rank to every other. */
import { createCollectives, type Collectives } from '../../comm/mesh/collectives.js';
import { CommError } from '../../comm/base/errors.js';
import { asRank, type Rank } from '../../base/ids.js';
import type { Mesh } from '../../comm/mesh/mesh.js';
import type { GatherCounts } from './replica_choice.js';

/** Bytes of one message. */
export const countGatherBytes = (numExperts: number): number => 4 * numExperts;

/** Gathers the counts of all ranks. One per rank; it lives as long as the mesh. */
export class CountGather {
  private collectives: Collectives;

  /** Uses the collectives of `mesh`: nobody else may. */
  constructor(
    private readonly mesh: Mesh,
    private readonly timeoutMs: number,
  ) {
    this.collectives = createCollectives(mesh, { timeoutMs });
  }

  /** From here on without these ranks: all that were lost since the job began. */
  enterEpoch(epoch: number, absent: readonly Rank[]): void {
    this.collectives = createCollectives(this.mesh, { timeoutMs: this.timeoutMs, epoch, absent });
  }

  /** An absent rank's counts are empty. @throws CommError as `Collectives.allGather`, PROTOCOL for counts of another number of experts */
  readonly gather: GatherCounts = async (counts_E, signal) => {
    const { buffer, byteOffset, byteLength } = counts_E;
    const all = await this.collectives.allGather(new Uint8Array(buffer, byteOffset, byteLength), signal);
    return all.map((bytes, rank) => {
      if (bytes.byteLength !== 0 && bytes.byteLength !== byteLength) {
        const message = `rank ${rank} sent ${bytes.byteLength} bytes of expert counts, expected ${byteLength}`;
        throw new CommError('PROTOCOL', `${message}; run the same version on all ranks`, { rank: asRank(rank) });
      }
      return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    });
  };
}
