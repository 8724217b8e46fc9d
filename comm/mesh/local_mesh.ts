/** A mesh inside one process: for tests, for one rank, and for studying routing without a network. */
import { CommError } from '../base/errors.js';
import type { FrameHeader } from './frame.js';
import { asRank, type Rank } from '../../base/ids.js';
import { MeshBase, type MeshLimits } from './mesh_base.js';
import type { Mesh } from './mesh.js';
import { joined, releaseOnce } from './payload_pool.js';

/**
 * `size` meshes that exchange frames by memory. A frame arrives in a later turn of the event loop and as a copy, like
 * over a socket. Closing one of them is that rank's loss to the others.
 */
export function createLocalMeshes(size: number, limits: MeshLimits = {}): Mesh[] {
  if (!Number.isInteger(size) || size < 1) {
    throw new CommError('INVALID_ARGUMENT', `size is ${size}; pass the number of ranks, an integer from 1`);
  }
  const meshes: LocalMesh[] = [];
  for (let rank = 0; rank < size; rank++) meshes.push(new LocalMesh(asRank(rank), size, meshes, limits));
  return meshes;
}

class LocalMesh extends MeshBase {
  constructor(
    rank: Rank,
    size: number,
    private readonly meshes: readonly LocalMesh[],
    limits: MeshLimits,
  ) {
    super(rank, size, limits);
  }

  protected override transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.transmitOwn(to, header, joined(payload, header.payloadBytes, this.memory));
  }

  protected override transmitOwn(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    const peer = this.meshes[to]!;
    setImmediate(() => peer.arrive(this, { ...header }, payload));
  }

  /** After the frames that were sent before it: setImmediate keeps the order. */
  protected override disconnect(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => {
        for (const peer of this.meshes) if (peer !== this) peer.lose(this.rank, 'it closed its mesh');
        resolve();
      });
    });
  }

  private arrive(sender: LocalMesh, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    const refused = this.accept(sender.rank, { header, payload, release: releaseOnce(this.memory, payload) });
    // A cut link is cut at both ends.
    if (refused !== undefined) sender.lose(this.rank, `it refused a frame: ${refused.message}`);
  }
}
