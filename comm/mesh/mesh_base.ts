/** What every mesh does alike: checks, counts, matches frames to callers. A transport adds how bytes leave and links close. */
import { checkTimeout, DeadlineWheel } from '../base/deadline.js';
import type { Window } from './credit.js';
import { CommError } from '../base/errors.js';
import { FRAME_HEADER_BYTES, type FrameHeader } from './frame.js';
import type { Rank } from '../../base/ids.js';
import type { Gathering } from './gathering.js';
import { Mailbox, MAX_QUEUED_FRAMES } from './mailbox.js';
import type {
  ArrivingFrame,
  Frame,
  FrameKey,
  GatherEvents,
  Mesh,
  MeshClosed,
  MeshStats,
  PeerAddress,
  Wait,
} from './mesh.js';
import { PayloadPool } from './payload_pool.js';
import type { PayloadStream } from './payload_stream.js';
import { Traffic } from './traffic.js';

/** Default for the largest frame: 2048 rows of 7168 channels in f32 fit. */
export const DEFAULT_MAX_FRAME_BYTES = 64 * 1024 * 1024;
/** ws keeps its limit in a signed 32-bit integer. */
const MAX_FRAME_BYTES = 0x7fffffff;

/** What bounds the memory of a mesh. */
export interface MeshLimits {
  /** Largest frame, header and payload; the same on every rank. Default 64 MiB. */
  readonly maxFrameBytes?: number | undefined;
  /** Micro-batches in flight at a time: 2 × this × maxFrameBytes may wait per peer. Default 1. */
  readonly microBatches?: number | undefined;
}

/**
 * A mesh without its transport: a subclass sends in `transmit`, brings what comes by `accept`, tells of losses by `lose`, and links up with those who come
 * later in `link`.
 */
export abstract class MeshBase implements Mesh {
  readonly maxFrameBytes: number;
  readonly memory: PayloadPool;
  readonly closed: Promise<MeshClosed>;
  /** What may wait here per peer. */
  protected readonly window: Window;
  protected readonly traffic: Traffic;
  /** How long its callers wait. */
  protected readonly deadlines = new DeadlineWheel();
  private readonly mailbox: Mailbox;
  private readonly settleClosed: (why: MeshClosed) => void;
  /** Peers that are being linked; what ends that. */
  private readonly linking = new Map<Rank, AbortController>();
  private closing: Promise<void> | undefined;
  private numWakeUps = 0;

  protected constructor(
    readonly rank: Rank,
    readonly size: number,
    limits: MeshLimits,
  ) {
    const { maxFrameBytes = DEFAULT_MAX_FRAME_BYTES, microBatches = 1 } = limits;
    checkLimits(maxFrameBytes, microBatches);
    this.maxFrameBytes = maxFrameBytes;
    this.traffic = new Traffic(size);
    this.window = { numBytes: 2 * microBatches * maxFrameBytes, numFrames: MAX_QUEUED_FRAMES };
    this.memory = new PayloadPool(this.window.numBytes);
    const onReleased = (from: Rank, frameBytes: number): void => this.released?.(from, frameBytes);
    const { deadlines } = this;
    this.mailbox = new Mailbox({ rank, size, maxQueuedBytes: this.window.numBytes, deadlines, onReleased });
    let settle: (why: MeshClosed) => void = () => undefined;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.settleClosed = settle;
  }

  /** Checks and counts a frame and gives it to the transport, see {@link Mesh.send}. */
  send(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void {
    this.checkSend(to, header, bytesOf(payload));
    this.transmit(to, header, payload);
    this.traffic.sent(to, FRAME_HEADER_BYTES + header.payloadBytes);
  }

  /** As `send`, of a payload that `memory` gave, see {@link Mesh.give}. */
  give(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    this.checkSend(to, header, payload.byteLength);
    this.transmitOwn(to, header, payload);
    this.traffic.sent(to, FRAME_HEADER_BYTES + header.payloadBytes);
  }

  /** As `give`, of a payload that is made while it leaves, see {@link Mesh.stream}. */
  stream(to: Rank, header: FrameHeader, payload: PayloadStream): () => void {
    this.checkSend(to, header, payload.numBytes);
    const finish = this.transmitStream(to, header, payload);
    this.traffic.sent(to, FRAME_HEADER_BYTES + header.payloadBytes);
    return finish;
  }

  /** Lets small frames leave now, where the transport gathers them. */
  flush(): void {
    this.letGo?.();
  }

  /** A transport whose bytes leave while the event loop turns waits for them, see {@link Mesh.settle}. */
  settle(): Promise<void> | undefined {
    return undefined;
  }

  /** As `gather`, from one peer. */
  async receive(from: Rank, key: FrameKey, wait: Wait): Promise<Frame> {
    const [frame] = await this.gather([from], key, wait);
    return frame!;
  }

  /** Takes frames out of the mailbox, now or when the last of them comes, see {@link Mesh.gather}. */
  gather(
    peers: readonly Rank[],
    key: FrameKey,
    wait: Wait,
    events: GatherEvents = NO_EVENTS,
  ): Frame[] | Promise<Frame[]> {
    return this.outcomeOf(this.mailbox.gather(peers, key, wait, events));
  }

  /** Forgets frames of epochs before this one, see {@link Mesh.advanceEpoch}. */
  advanceEpoch(epoch: number): void {
    this.mailbox.advanceEpoch(epoch);
  }

  /** Discards what a peer sends, or hears it again, see {@link Mesh.mute}. */
  mute(rank: Rank, isMuted: boolean): void {
    this.mailbox.mute(rank, isMuted);
  }

  /** Links up with who takes a seat now, see {@link Mesh.admit}. */
  async admit(rank: Rank, address: PeerAddress, { timeoutMs, signal }: Wait): Promise<void> {
    checkTimeout(timeoutMs);
    if (this.link === undefined) throw fixedError(rank);
    if (this.closing !== undefined) throw new CommError('CLOSED', 'the mesh was closed; open a new one', { rank });
    this.dismiss(rank, 'another rank takes its seat');
    this.mailbox.readmit(rank);
    const ending = new AbortController();
    this.linking.set(rank, ending);
    try {
      const signals = signal === undefined ? [ending.signal] : [ending.signal, signal];
      await this.link(rank, address, { timeoutMs, signal: AbortSignal.any(signals) });
    } catch (error) {
      if (this.linking.get(rank) === ending) this.vacate(rank, error instanceof Error ? error.message : String(error));
      throw error;
    } finally {
      if (this.linking.get(rank) === ending) this.linking.delete(rank);
    }
  }

  /** Drops the link to a peer, see {@link Mesh.dismiss}. */
  dismiss(rank: Rank, why: string): void {
    this.linking.get(rank)?.abort();
    this.linking.delete(rank);
    this.vacate(rank, why);
  }

  /** A copy of the counters; a transport that copies payloads adds how many. */
  stats(): MeshStats {
    const { duplicates, stale } = this.mailbox;
    const { allocations } = this.memory;
    return { ...this.traffic.snapshot(), duplicates, stale, wakeUps: this.numWakeUps, allocations };
  }

  /** Idempotent: who waits is told CLOSED, then the transport ends its links. */
  close(): Promise<void> {
    if (this.closing === undefined) {
      this.settleClosed({ kind: 'closed' });
      for (const ending of this.linking.values()) ending.abort();
      this.mailbox.close();
      this.deadlines.close();
      this.closing = this.disconnect();
    }
    return this.closing;
  }

  /** Whether a peer is being linked: what is told of its seat is about who had it before. */
  protected isLinking(rank: Rank): boolean {
    return this.linking.has(rank);
  }

  /** Whether the owner closed it. */
  protected get isClosed(): boolean {
    return this.closing !== undefined;
  }

  /** Puts one checked frame on the way to a peer that isn't lost. */
  protected abstract transmit(to: Rank, header: FrameHeader, payload: readonly Uint8Array[]): void;

  /** The same for a payload of `memory`. */
  protected abstract transmitOwn(to: Rank, header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void;

  /** The same for one that is made while it leaves, where the transport doesn't take it whole; returns what makes the rest. */
  protected transmitStream(to: Rank, header: FrameHeader, payload: PayloadStream): () => void {
    this.transmitOwn(to, header, payload.rest());
    return () => undefined;
  }

  /** For a transport that gathers small frames: they leave now. */
  protected letGo?(): void;

  /**
   * Links up with a rank whose seat is empty; frames travel both ways when it resolves. What comes earlier may be given to `accept` at once. After a failure
   * `unlink` follows, and nothing more may be told of that link. Absent where nobody can come later.
   */
  protected link?(rank: Rank, address: PeerAddress, wait: Wait): Promise<void>;

  /** Ends the link to a rank, or what there is of it, at once; nothing more is told of it. There may be none. */
  protected abstract unlink(rank: Rank, why: string): void;

  /** For a transport whose seats are not all taken: nobody is in this one yet. */
  protected leaveEmpty(rank: Rank): void {
    this.mailbox.lose(rank, 'nobody has its seat');
  }

  /** Ends every link; called once. */
  protected abstract disconnect(): Promise<void>;

  /**
   * For a transport that can look for frames without the event loop: called once before a call sleeps, it brings what comes by `accept` until the wait is
   * over or its patience ends.
   */
  protected spin?(wait: { readonly isOver: boolean }): void;

  /** For a transport that gives credit: a frame of a rank, so many bytes with its header, was taken or dropped. May be called while `accept` runs. */
  protected released?(from: Rank, frameBytes: number): void;

  /** What a call gets that looked for its frames: all of them at once, or a promise. */
  protected outcomeOf(gathering: Gathering): Frame[] | Promise<Frame[]> {
    if (!gathering.isOver) this.spin?.(gathering);
    if (!gathering.isOver) this.numWakeUps++;
    return gathering.outcome();
  }

  /** For the transport: a frame came. Returns why the peer must be cut off, if it must. */
  protected accept(from: Rank, frame: ArrivingFrame): CommError | undefined {
    try {
      checkReceived(from, this.rank, frame);
      const { header, payload, release } = frame;
      this.traffic.received(from, FRAME_HEADER_BYTES + payload.byteLength);
      this.mailbox.deliver({ header, payload, arrivedMs: performance.now(), release });
      return undefined;
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      this.lose(from, error.message, error.code);
      return error;
    }
  }

  /** For a transport that tells of it: a peer is lost. Called once per loss. */
  protected onLoss?(rank: Rank, why: string, code: CommError['code']): void;

  /** For the transport: nothing more comes from this rank. */
  protected lose(rank: Rank, why: string, code: CommError['code'] = 'PEER_LOST'): void {
    if (this.mailbox.lossOf(rank) !== undefined) return;
    this.mailbox.lose(rank, why, code);
    this.onLoss?.(rank, why, code);
    if (!this.linking.has(rank)) this.settleClosed({ kind: 'lost', rank, why });
  }

  private vacate(rank: Rank, why: string): void {
    this.mailbox.lose(rank, why);
    this.unlink(rank, why);
  }

  private checkSend(to: Rank, header: FrameHeader, numBytes: number): void {
    const where = { rank: to, layer: header.layer, phase: header.phase };
    if (this.closing !== undefined) throw new CommError('CLOSED', 'the mesh was closed; open a new one', where);
    const why = this.mailbox.lossOf(to) ?? (this.linking.has(to) ? 'it is not linked yet' : undefined);
    if (why !== undefined) {
      const message = `rank ${to} was lost before ${header.phase} of layer ${header.layer}: ${why}; look at the log of rank ${to}`;
      throw new CommError('PEER_LOST', message, where);
    }
    checkHeader(this.rank, to, header, numBytes);
    const frameBytes = FRAME_HEADER_BYTES + header.payloadBytes;
    if (frameBytes > this.maxFrameBytes) {
      const message = `a frame of ${frameBytes} bytes to rank ${to}, ${this.maxFrameBytes} allowed; send fewer rows or raise maxFrameBytes`;
      throw new CommError('LIMIT', message, where);
    }
  }
}

const NO_EVENTS: GatherEvents = {};

const fixedError = (rank: Rank): CommError =>
  new CommError('INVALID_ARGUMENT', `rank ${rank} can't come later where ranks share memory; link them by WebSockets`);

/** @throws CommError INVALID_ARGUMENT unless both are whole numbers in their range. */
export function checkLimits(maxFrameBytes: number, microBatches: number): void {
  if (!Number.isInteger(maxFrameBytes) || maxFrameBytes < FRAME_HEADER_BYTES || maxFrameBytes > MAX_FRAME_BYTES) {
    const range = `${FRAME_HEADER_BYTES} to ${MAX_FRAME_BYTES}`;
    throw new CommError('INVALID_ARGUMENT', `maxFrameBytes is ${maxFrameBytes}; pass an integer from ${range}`);
  }
  if (!Number.isInteger(microBatches) || microBatches < 1) {
    throw new CommError('INVALID_ARGUMENT', `microBatches is ${microBatches}; pass an integer from 1`);
  }
}

function bytesOf(parts: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const part of parts) bytes += part.byteLength;
  return bytes;
}

function checkHeader(rank: Rank, to: Rank, header: FrameHeader, bytes: number): void {
  if (header.source !== rank || header.destination !== to) {
    const message = `a header from ${header.source} to ${header.destination}; rank ${rank} sends to ${to} here`;
    throw new CommError('INVALID_ARGUMENT', message);
  }
  if (bytes !== header.payloadBytes) {
    throw new CommError('INVALID_ARGUMENT', `payloadBytes is ${header.payloadBytes} but the parts have ${bytes} bytes`);
  }
}

function checkReceived(from: Rank, rank: Rank, { header, payload }: ArrivingFrame): void {
  const where = { rank: from, layer: header.layer, phase: header.phase };
  if (header.source !== from || header.destination !== rank) {
    const message = `the link from rank ${from} to ${rank} carried a frame from ${header.source} to ${header.destination}`;
    throw new CommError('PROTOCOL', `${message}; run the same build on every rank`, where);
  }
  if (header.payloadBytes !== payload.byteLength) {
    const message = `rank ${from} announced ${header.payloadBytes} payload bytes and sent ${payload.byteLength}`;
    throw new CommError('PROTOCOL', `${message}; run the same build on every rank`, where);
  }
}
