/** A mesh that does what it is told to at a chosen frame: a rank that dies or falls silent in the middle of a phase. */
import { CommError } from '../../../comm/base/errors.js';
import type { FrameHeader, FrameKey, Phase } from '../../../comm/mesh/frame.js';
import type { Rank } from '../../../base/ids.js';
import type { PayloadMemory } from '../../../comm/mesh/payload_pool.js';
import type { PayloadStream } from '../../../comm/mesh/payload_stream.js';
import { SlowWire, type Latency } from './memory_link.js';
import type { Frame, GatherEvents, Mesh, MeshClosed, MeshStats, PeerAddress, Wait } from '../../../comm/mesh/mesh.js';

/** The moment before a rank sends a frame. */
export interface FrameMoment {
  readonly step: number;
  readonly layer: number;
  readonly phase: Phase;
  /** Frames of this phase that it has sent already: 0 = before the first. */
  readonly numSent: number;
}

export class FaultyMesh implements Mesh {
  /** Nothing that is sent leaves any more. */
  isSilent = false;
  /** What is sent leaves only when its epoch is over. */
  isLate = false;
  private readonly late: Parameters<Mesh['send']>[] = [];
  /** Ranks that were masked: what is late for them is dropped. */
  private readonly lost = new Set<Rank>();
  private isClosed = false;
  private current = '';
  private numSent = 0;

  /** By the rank to which they lead, where frames take their time. */
  private readonly wires = new Map<Rank, SlowWire>();

  /** Calls `onSend` before every frame. `latency`: of each frame. Default: none. */
  constructor(
    private readonly mesh: Mesh,
    private readonly onSend: (moment: FrameMoment) => void,
    private readonly latency?: Latency,
  ) {}

  get rank(): Rank {
    return this.mesh.rank;
  }

  get size(): number {
    return this.mesh.size;
  }

  get maxFrameBytes(): number {
    return this.mesh.maxFrameBytes;
  }

  get memory(): PayloadMemory {
    return this.mesh.memory;
  }

  get closed(): Promise<MeshClosed> {
    return this.mesh.closed;
  }

  send(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.pass(to, header, payload, () => this.mesh.send(to, header, payload));
  }

  give(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    this.pass(to, header, [payload], () => this.mesh.give(to, header, payload));
  }

  stream(to: Rank, header: FrameHeader, payload: PayloadStream): () => void {
    this.give(to, header, payload.rest());
    return () => undefined;
  }

  settle(): Promise<void> | undefined {
    return this.mesh.settle();
  }

  private pass(to: Rank, header: FrameHeader, payload: readonly Uint8Array[], send: () => void): void {
    const { step, layer, phase } = header;
    const now = `${step} ${layer} ${phase}`;
    this.numSent = now === this.current ? this.numSent : 0;
    this.current = now;
    this.onSend({ step, layer, phase, numSent: this.numSent });
    this.numSent++;
    if (this.isSilent) return;
    if (this.isLate) this.late.push([to, header, payload.map((part) => part.slice())]);
    else if (this.latency === undefined) send();
    else this.wireTo(to, this.latency).carry(this.later(to, header, payload));
  }

  private wireTo(to: Rank, latency: Latency): SlowWire {
    const wire = this.wires.get(to) ?? new SlowWire(latency);
    this.wires.set(to, wire);
    return wire;
  }

  /** What is on its way goes with the link. */
  private drop(rank: Rank): void {
    this.lost.add(rank);
    this.wires.get(rank)?.cut();
    this.wires.delete(rank);
  }

  private later(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): () => void {
    const copies = payload.map((part) => part.slice());
    return () => {
      if (this.isClosed) return;
      try {
        this.mesh.send(to, header, copies);
        this.mesh.flush();
      } catch (error) {
        if (!(error instanceof CommError && error.code === 'PEER_LOST')) throw error; // the link ended while it was on its way
      }
    };
  }

  flush(): void {
    this.mesh.flush();
  }

  receive(from: Rank, key: FrameKey, wait: Wait): Promise<Frame> {
    return this.mesh.receive(from, key, wait);
  }

  gather(peers: readonly Rank[], key: FrameKey, wait: Wait, events?: GatherEvents): Frame[] | Promise<Frame[]> {
    return this.mesh.gather(peers, key, wait, events);
  }

  /** This end of a link is lost; the other end's mesh must be told so too. */
  cut(peer: Rank): void {
    (this.mesh as unknown as { lose(rank: Rank, why: string): void }).lose(peer, 'the link was cut');
  }

  advanceEpoch(epoch: number): void {
    this.mesh.advanceEpoch(epoch);
    this.isLate = false;
    for (const [to, header, payload] of this.late.splice(0)) {
      if (!this.lost.has(to)) this.mesh.send(to, header, payload);
    }
  }

  mute(rank: Rank, isMuted: boolean): void {
    if (isMuted) this.drop(rank);
    else this.lost.delete(rank);
    this.mesh.mute(rank, isMuted);
  }

  admit(rank: Rank, address: PeerAddress, wait: Wait): Promise<void> {
    this.lost.delete(rank);
    return this.mesh.admit(rank, address, wait);
  }

  dismiss(rank: Rank, why: string): void {
    this.drop(rank);
    this.mesh.dismiss(rank, why);
  }

  stats(): MeshStats {
    return this.mesh.stats();
  }

  close(): Promise<void> {
    this.isClosed = true;
    return this.mesh.close();
  }
}
