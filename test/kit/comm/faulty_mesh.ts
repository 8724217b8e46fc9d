/** A mesh that does what it is told to at a chosen frame: a rank that dies or falls silent in the middle of a phase. */
import { CommError } from '../../../comm/base/errors.js';
import type { FrameHeader, FrameKey, Phase } from '../../../comm/mesh/frame.js';
import type { Rank } from '../../../base/ids.js';
import type { PayloadMemory } from '../../../comm/mesh/payload_pool.js';
import type { Frame, Mesh, MeshClosed, MeshStats, Wait } from '../../../comm/mesh/mesh.js';

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
  /** Ends the waits for a peer whose link was cut. */
  private readonly cuts = new Map<Rank, AbortController>();
  private readonly late: Parameters<Mesh['send']>[] = [];
  /** Ranks that were masked: what is late for them is dropped. */
  private readonly lost = new Set<Rank>();
  private current = '';
  private numSent = 0;

  /** Calls `onSend` before every frame. */
  constructor(
    private readonly mesh: Mesh,
    private readonly onSend: (moment: FrameMoment) => void,
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

  private pass(to: Rank, header: FrameHeader, payload: readonly Uint8Array[], send: () => void): void {
    const { step, layer, phase } = header;
    const now = `${step} ${layer} ${phase}`;
    this.numSent = now === this.current ? this.numSent : 0;
    this.current = now;
    this.onSend({ step, layer, phase, numSent: this.numSent });
    this.numSent++;
    if (this.cutOf(to).signal.aborted) throw cutError(to, header);
    if (this.isSilent) return;
    if (this.isLate) this.late.push([to, header, payload.map((part) => part.slice())]);
    else send();
  }

  flush(): void {
    this.mesh.flush();
  }

  async receive(from: Rank, key: FrameKey, wait: Wait): Promise<Frame> {
    const { signal } = this.cutOf(from);
    const either = wait.signal === undefined ? signal : AbortSignal.any([signal, wait.signal]);
    try {
      return await this.mesh.receive(from, key, { ...wait, signal: either });
    } catch (error) {
      throw signal.aborted ? cutError(from, key) : error;
    }
  }

  /** This end of a link is lost; the other end's mesh must be told so too. */
  cut(peer: Rank): void {
    this.cutOf(peer).abort();
  }

  advanceEpoch(epoch: number): void {
    this.mesh.advanceEpoch(epoch);
    this.isLate = false;
    for (const [to, header, payload] of this.late.splice(0)) {
      if (!this.lost.has(to)) this.mesh.send(to, header, payload);
    }
  }

  mute(rank: Rank, isMuted: boolean): void {
    this.lost.add(rank);
    this.mesh.mute(rank, isMuted);
  }

  stats(): MeshStats {
    return this.mesh.stats();
  }

  close(): Promise<void> {
    return this.mesh.close();
  }

  private cutOf(peer: Rank): AbortController {
    const known = this.cuts.get(peer) ?? new AbortController();
    this.cuts.set(peer, known);
    return known;
  }
}

function cutError(rank: Rank, { layer, phase }: Pick<FrameKey, 'layer' | 'phase'>): CommError {
  const message = `rank ${rank} was lost during ${phase} of layer ${layer}: the link was cut; look at the log of rank ${rank}`;
  return new CommError('PEER_LOST', message, { rank, layer, phase });
}
