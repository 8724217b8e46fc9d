/** Received frames and the callers who wait for them, per source rank. No socket: both meshes deliver into one of these. */
import type { DeadlineWheel } from '../base/deadline.js';
import { CommError, type CommErrorCode } from '../base/errors.js';
import { FRAME_HEADER_BYTES, type FrameKey } from './frame.js';
import { hashOfKey, KeyTable, TakenKeys } from './frame_keys.js';
import { Gathering, type FrameSource } from './gathering.js';
import { asRank, type Rank } from '../../base/ids.js';
import {
  abortedError,
  closedError,
  lostError,
  mutedError,
  nameOf,
  oldEpochError,
  type Loss,
} from './mailbox_errors.js';
import type { Frame, GatherEvents, Wait } from './mesh.js';

/** Frames queued per peer: header-only frames cost memory that the bound on bytes doesn't see. */
export const MAX_QUEUED_FRAMES = 4096;

/** Whose mailbox it is, and what may wait in it. */
export interface MailboxOptions {
  readonly rank: Rank;
  readonly size: number;
  /** Largest sum of frame bytes that may wait per peer; more is a protocol error that loses the peer. */
  readonly maxQueuedBytes: number;
  /** How long its callers wait. */
  readonly deadlines: DeadlineWheel;
  /** A frame of so many bytes, header included, left: it was taken or dropped. */
  readonly onReleased?: ((from: Rank, frameBytes: number) => void) | undefined;
}

interface PeerBox {
  readonly queued: KeyTable<Frame>;
  readonly waiting: KeyTable<Gathering>;
  taken: TakenKeys;
  queuedBytes: number;
  loss: Loss | undefined;
  isMuted: boolean;
}

/** One box per peer: a frame goes to whoever waits for its key, or queues until somebody asks for it. */
export class Mailbox implements FrameSource {
  readonly deadlines: DeadlineWheel;
  private readonly peers: readonly PeerBox[];
  private epoch = 0;
  private closed = false;
  private numDuplicates = 0;
  private numStale = 0;

  constructor(private readonly options: MailboxOptions) {
    this.deadlines = options.deadlines;
    this.peers = Array.from({ length: options.size }, () => ({
      queued: new KeyTable<Frame>(),
      waiting: new KeyTable<Gathering>(),
      taken: new TakenKeys(),
      queuedBytes: 0,
      loss: undefined,
      isMuted: false,
    }));
  }

  get duplicates(): number {
    return this.numDuplicates;
  }

  get stale(): number {
    return this.numStale;
  }

  /** Hands a frame to who waits for it, or queues it. @throws CommError PROTOCOL when the queue is full: the caller then loses the peer. */
  deliver(frame: Frame): void {
    const { header } = frame;
    const box = this.box(header.source);
    if (this.closed || box.loss !== undefined) return;
    if (box.isMuted || header.epoch < this.epoch) {
      this.numStale++;
      this.drop(frame);
      return;
    }
    const hash = hashOfKey(header);
    if (box.taken.has(header, hash) || box.queued.get(header, hash) !== undefined) {
      this.numDuplicates++;
      this.drop(frame);
      return;
    }
    const gathering = box.waiting.take(header, hash);
    if (gathering === undefined) return this.enqueue(box, hash, frame);
    box.taken.add(header, hash);
    this.released(frame);
    gathering.deliver(header.source, frame);
  }

  /**
   * Takes the frames with this key that are here, and waits for those that may still come. At most one caller may wait for a key.
   * @throws CommError INVALID_ARGUMENT for a timeout that no timer counts; everything else comes with the outcome
   */
  gather(peers: readonly Rank[], key: FrameKey, wait: Wait, events: GatherEvents): Gathering {
    const gathering = new Gathering(this, peers, key, wait, events);
    const hash = hashOfKey(key);
    for (const peer of peers) {
      try {
        const frame = this.takeQueued(peer, key, hash, wait.signal);
        if (frame !== undefined) gathering.deliver(peer, frame);
        else if (!gathering.isOver) this.box(peer).waiting.add(key, hash, gathering);
      } catch (error) {
        if (!(error instanceof CommError)) throw error;
        gathering.fail(peer, error);
      }
    }
    return gathering;
  }

  /** Ends the wait for one peer. */
  giveUp(gathering: Gathering, peer: Rank, why: CommError): void {
    this.leave(gathering, peer);
    gathering.fail(peer, why);
  }

  /** A frame that comes from this peer isn't for it any more. */
  leave(gathering: Gathering, peer: Rank): void {
    const { key } = gathering;
    const hash = hashOfKey(key);
    const waiting = this.peers[peer]?.waiting;
    // It may not wait there yet, while another call does, which asked for this key first.
    if (waiting?.get(key, hash) === gathering) waiting.take(key, hash);
  }

  /** No more frames come from this rank. Those that are queued can still be taken; whoever waits for another is told. */
  lose(rank: Rank, why: string, code: CommErrorCode = 'PEER_LOST'): void {
    const box = this.box(rank);
    if (this.closed || box.loss !== undefined) return;
    box.loss = { code, why };
    for (const gathering of box.waiting.takeWhere(always))
      gathering.fail(rank, lostError(rank, gathering.key, box.loss));
  }

  /** Another one takes the rank's seat: nothing is left of who had it but whether it is muted. */
  readmit(rank: Rank): void {
    const box = this.box(rank);
    this.empty(box);
    box.taken = new TakenKeys();
    box.loss = undefined;
  }

  /** Why no more frames come from a rank; undefined where they may. */
  lossOf(rank: Rank): string | undefined {
    return this.box(rank).loss?.why;
  }

  /** Drops what belongs to epochs before this one; who waits for it is told ABORTED. Never goes back. */
  advanceEpoch(epoch: number): void {
    this.epoch = Math.max(this.epoch, epoch);
    const isOld = (key: FrameKey): boolean => key.epoch < this.epoch;
    for (const [rank, box] of this.peers.entries()) {
      for (const frame of box.queued.takeWhere(isOld)) {
        box.queuedBytes -= bytesOf(frame);
        this.numStale++;
        this.drop(frame);
      }
      for (const gathering of box.waiting.takeWhere(isOld)) {
        gathering.fail(asRank(rank), oldEpochError(gathering.key, this.epoch));
      }
    }
  }

  /** Muted: what is queued and what comes is dropped as stale; who waits is told ABORTED. */
  mute(rank: Rank, isMuted: boolean): void {
    const box = this.box(rank);
    box.isMuted = isMuted;
    if (!isMuted) return;
    this.empty(box);
    for (const gathering of box.waiting.takeWhere(always)) gathering.fail(rank, mutedError(rank, gathering.key));
  }

  /** Forgets everything; who waits is told CLOSED. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const [rank, box] of this.peers.entries()) {
      box.queued.takeWhere(always);
      for (const gathering of box.waiting.takeWhere(always)) gathering.fail(asRank(rank), closedError(gathering.key));
    }
  }

  private box(rank: Rank): PeerBox {
    const box = rank === this.options.rank ? undefined : this.peers[rank];
    if (box !== undefined) return box;
    const { size } = this.options;
    throw new CommError(
      'INVALID_ARGUMENT',
      `rank ${rank} is no peer of rank ${this.options.rank} in a mesh of ${size}`,
    );
  }

  /** What is queued is stale. */
  private empty(box: PeerBox): void {
    const queued = box.queued.takeWhere(always);
    box.queuedBytes = 0;
    this.numStale += queued.length;
    for (const frame of queued) this.drop(frame);
  }

  private drop(frame: Frame): void {
    this.released(frame);
    frame.release?.();
  }

  private released(frame: Frame): void {
    this.options.onReleased?.(frame.header.source, bytesOf(frame));
  }

  private enqueue(box: PeerBox, hash: number, frame: Frame): void {
    const bytes = box.queuedBytes + bytesOf(frame);
    if (bytes > this.options.maxQueuedBytes || box.queued.size >= MAX_QUEUED_FRAMES) {
      const { source, phase, layer } = frame.header;
      throw new CommError(
        'PROTOCOL',
        `rank ${source} is too far ahead: ${bytes} bytes in ${box.queued.size + 1} frames wait for this rank, ` +
          `${this.options.maxQueuedBytes} bytes and ${MAX_QUEUED_FRAMES} frames allowed; ` +
          `give every rank the same maxFrameBytes and microBatches`,
        { rank: source, phase, layer },
      );
    }
    box.queuedBytes = bytes;
    box.queued.add(frame.header, hash, frame);
  }

  /** The frame if it is here, undefined if it may still come. @throws CommError if it never will. */
  private takeQueued(from: Rank, key: FrameKey, hash: number, signal: AbortSignal | undefined): Frame | undefined {
    const box = this.box(from);
    if (this.closed) throw closedError(key);
    if (signal?.aborted === true) throw abortedError(from, key, signal);
    if (key.epoch < this.epoch) throw oldEpochError(key, this.epoch);
    if (box.waiting.get(key, hash) !== undefined || box.taken.has(key, hash)) {
      throw new CommError(
        'INVALID_ARGUMENT',
        `${nameOf(key)} from rank ${from} is received twice; use a new tag per call`,
      );
    }
    const frame = box.queued.take(key, hash);
    if (frame === undefined) {
      if (box.loss !== undefined) throw lostError(from, key, box.loss);
      if (box.isMuted) throw mutedError(from, key);
      return undefined;
    }
    box.queuedBytes -= bytesOf(frame);
    box.taken.add(key, hash);
    this.released(frame);
    return frame;
  }
}

const always = (): boolean => true;

const bytesOf = (frame: Frame): number => FRAME_HEADER_BYTES + frame.payload.byteLength;
