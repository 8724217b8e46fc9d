/** A mesh inside one process: for tests, for one rank, and for studying routing without a network. */
import { CommError } from '../base/errors.js';
import type { FrameHeader } from './frame.js';
import { asRank, type Rank } from '../../base/ids.js';
import { MeshBase, type MeshLimits } from './mesh_base.js';
import { peersOf, type Mesh, type PeerAddress, type Wait } from './mesh.js';
import { joined, releaseOnce } from './payload_pool.js';

/**
 * `size` meshes that exchange frames by memory. A frame arrives in a later turn of the event loop and as a copy, like
 * over a socket. Closing one of them is that rank's loss to the others.
 */
export function createLocalMeshes(size: number, limits: MeshLimits = {}): Mesh[] {
  return new LocalNetwork(size, limits).openFirst(size);
}

/** Seats of meshes that exchange frames by memory, where ranks come and go. */
export class LocalNetwork {
  /** Who waits for the other end of a new link, by both ranks and the ticket. */
  private readonly waiting = new Map<string, (far: LocalMesh) => void>();

  /** @throws CommError INVALID_ARGUMENT when `size` is no number of seats */
  constructor(
    private readonly size: number,
    private readonly limits: MeshLimits = {},
  ) {
    if (Number.isInteger(size) && size >= 1) return;
    throw new CommError('INVALID_ARGUMENT', `size is ${size}; pass the number of ranks, an integer from 1`);
  }

  /** The meshes of the first seats, linked to each other. @throws CommError INVALID_ARGUMENT when a limit is out of range */
  openFirst(numRanks: number): Mesh[] {
    const meshes = Array.from({ length: numRanks }, (_, rank) => this.seat(rank, numRanks));
    for (const [rank, mesh] of meshes.entries()) for (const peer of meshes.slice(0, rank)) join(mesh, peer);
    return meshes;
  }

  /** The mesh of whoever takes this seat now, linked to nobody: both ends {@link Mesh.admit} each other, at any address, with the same ticket. */
  open(rank: number): Mesh {
    return this.seat(rank, 0);
  }

  /** Links both ends when both are there, and then calls `onMet` of each. What this returns ends the wait. */
  meet(end: LocalMesh, peer: Rank, ticket: string, onMet: () => void): () => void {
    const id = `${Math.min(end.rank, peer)} ${Math.max(end.rank, peer)} ${ticket}`;
    const tellOther = this.waiting.get(id);
    this.waiting.delete(id);
    if (tellOther === undefined) {
      this.waiting.set(id, (far) => {
        join(end, far);
        onMet();
      });
    } else {
      tellOther(end);
      onMet();
    }
    return () => void this.waiting.delete(id);
  }

  private seat(rank: number, numPresent: number): LocalMesh {
    return new LocalMesh(asRank(rank), this.size, { network: this, numPresent, ...this.limits });
  }
}

/** Both directions between two meshes, until one of them ends it. */
interface LocalLink {
  readonly ends: readonly [LocalMesh, LocalMesh];
  isCut: boolean;
}

function join(a: LocalMesh, b: LocalMesh): void {
  const link: LocalLink = { ends: [a, b], isCut: false };
  a.put(b.rank, link);
  b.put(a.rank, link);
}

interface LocalMeshOptions extends MeshLimits {
  readonly network: LocalNetwork;
  /** Whom it will be linked to: the ranks below this. */
  readonly numPresent: number;
}

class LocalMesh extends MeshBase {
  private readonly network: LocalNetwork;
  /** By rank; none where nobody is. */
  private readonly links: (LocalLink | undefined)[];

  constructor(rank: Rank, size: number, { network, numPresent, ...limits }: LocalMeshOptions) {
    super(rank, size, limits);
    this.network = network;
    this.links = new Array<LocalLink | undefined>(size).fill(undefined);
    for (const peer of peersOf(this)) if (peer >= numPresent) this.leaveEmpty(peer);
  }

  /** Frames travel this way from now on. */
  put(peer: Rank, link: LocalLink): void {
    this.links[peer] = link;
  }

  protected override transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.transmitOwn(to, header, joined(payload, header.payloadBytes, this.memory));
  }

  protected override transmitOwn(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    const link = this.links[to]!;
    setImmediate(() => {
      if (!link.isCut) farEnd(link, this).arrive(link, this.rank, { ...header }, payload);
    });
  }

  protected override link(peer: Rank, { ticket }: PeerAddress, { timeoutMs, signal }: Wait): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (code: 'TIMEOUT' | 'ABORTED', what: string): void => {
        settle();
        const message = `${what}, rank ${peer} isn't linked to rank ${this.rank}; look at the log of rank ${peer}`;
        reject(new CommError(code, message, { rank: peer, phase: 'link', cause: signal?.reason }));
      };
      const deadline = this.deadlines.start(timeoutMs, () => fail('TIMEOUT', `after ${timeoutMs} ms`));
      const onAbort = (): void => fail('ABORTED', 'linking was ended');
      const settle = (): void => {
        deadline.cancel();
        signal?.removeEventListener('abort', onAbort);
        leave();
      };
      const leave = this.network.meet(this, peer, ticket, () =>
        setImmediate(() => {
          settle();
          resolve();
        }),
      );
      signal?.addEventListener('abort', onAbort);
      if (signal?.aborted === true) onAbort();
    });
  }

  protected override unlink(peer: Rank): void {
    const link = this.links[peer];
    this.links[peer] = undefined;
    if (link !== undefined) this.cut(link, 'it ended the link');
  }

  /** After the frames that were sent before it: setImmediate keeps the order. */
  protected override disconnect(): Promise<void> {
    return new Promise((resolve) => {
      setImmediate(() => {
        for (const link of this.links) if (link !== undefined) this.cut(link, 'it closed its mesh');
        resolve();
      });
    });
  }

  /** A cut link is cut at both ends; the other one hears why. */
  private cut(link: LocalLink, why: string): void {
    if (link.isCut) return;
    link.isCut = true;
    const far = farEnd(link, this);
    if (far.links[this.rank] === link) far.lose(this.rank, why);
  }

  private arrive(link: LocalLink, from: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    const refused = this.accept(from, { header, payload, release: releaseOnce(this.memory, payload) });
    if (refused !== undefined) this.cut(link, `it refused a frame: ${refused.message}`);
  }
}

const farEnd = ({ ends: [a, b] }: LocalLink, end: LocalMesh): LocalMesh => (end === a ? b : a);
