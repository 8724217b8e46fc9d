/** Received frames and the callers who wait for them, per source rank. No socket: both meshes deliver into one of these. */
import { checkTimeout, Deadline } from '../base/deadline.js';
import { CommError, type CommErrorCode } from '../base/errors.js';
import { FRAME_HEADER_BYTES, frameKeyOf, type FrameKey } from './frame.js';
import type { Rank } from '../../base/ids.js';
import {
  abortedError,
  closedError,
  lostError,
  mutedError,
  nameOf,
  oldEpochError,
  timeoutError,
  type Loss,
} from './mailbox_errors.js';
import type { Frame, Wait } from './mesh.js';

/** Taken keys that are remembered per peer, to tell a duplicate from a frame that nobody asked for yet. */
const MAX_TAKEN_KEYS = 1024;
/** Frames queued per peer: header-only frames cost memory that the bound on bytes doesn't see. */
export const MAX_QUEUED_FRAMES = 4096;

/** Whose mailbox it is, and what may wait in it. */
export interface MailboxOptions {
  readonly rank: Rank;
  readonly size: number;
  /** Largest sum of frame bytes that may wait per peer; more is a protocol error that loses the peer. */
  readonly maxQueuedBytes: number;
  /** A frame of so many bytes, header included, left: it was taken or dropped. */
  readonly onReleased?: ((from: Rank, frameBytes: number) => void) | undefined;
}

interface Waiter {
  resolve(frame: Frame): void;
  reject(error: CommError): void;
  readonly key: FrameKey;
}

interface PeerBox {
  readonly queued: Map<string, Frame>;
  readonly waiting: Map<string, Waiter>;
  readonly taken: TakenKeys;
  queuedBytes: number;
  loss: Loss | undefined;
  isMuted: boolean;
}

/** One box per peer: a frame goes to whoever waits for its key, or queues until somebody asks for it. */
export class Mailbox {
  private readonly peers: readonly PeerBox[];
  private epoch = 0;
  private closed = false;
  private numDuplicates = 0;
  private numStale = 0;

  constructor(private readonly options: MailboxOptions) {
    this.peers = Array.from({ length: options.size }, () => ({
      queued: new Map<string, Frame>(),
      waiting: new Map<string, Waiter>(),
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

  /** Hands a frame to its waiter or queues it. @throws CommError PROTOCOL when the queue is full: the caller then loses the peer. */
  deliver(frame: Frame): void {
    const box = this.box(frame.header.source);
    if (this.closed || box.loss !== undefined) return;
    if (box.isMuted || frame.header.epoch < this.epoch) {
      this.numStale++;
      this.drop(frame);
      return;
    }
    const key = frameKeyOf(frame.header);
    if (box.queued.has(key) || box.taken.has(key)) {
      this.numDuplicates++;
      this.drop(frame);
      return;
    }
    const waiter = box.waiting.get(key);
    if (waiter === undefined) this.enqueue(box, key, frame);
    else {
      box.taken.add(key);
      this.released(frame);
      waiter.resolve(frame);
    }
  }

  /** The frame with this key, now or when it comes. At most one caller may wait for a key. */
  take(from: Rank, key: FrameKey, wait: Wait): Promise<Frame> {
    // One promise, not an `async` chain: three turns of the microtask queue less per frame.
    return new Promise((resolve, reject) => {
      checkTimeout(wait.timeoutMs);
      const id = frameKeyOf(key);
      const frame = this.takeQueued(from, key, id, wait.signal);
      if (frame === undefined) this.wait(from, key, id, wait, { resolve, reject });
      else resolve(frame);
    });
  }

  /** No more frames come from this rank. Those that are queued can still be taken; whoever waits for another is told. */
  lose(rank: Rank, why: string, code: CommErrorCode = 'PEER_LOST'): void {
    const box = this.box(rank);
    if (this.closed || box.loss !== undefined) return;
    box.loss = { code, why };
    for (const waiter of [...box.waiting.values()]) waiter.reject(lostError(rank, waiter.key, box.loss));
  }

  /** Why no more frames come from a rank; undefined where they may. */
  lossOf(rank: Rank): string | undefined {
    return this.box(rank).loss?.why;
  }

  /** Drops what belongs to epochs before this one; who waits for it is told ABORTED. Never goes back. */
  advanceEpoch(epoch: number): void {
    this.epoch = Math.max(this.epoch, epoch);
    for (const box of this.peers) {
      for (const [key, frame] of box.queued) {
        if (frame.header.epoch >= this.epoch) continue;
        box.queued.delete(key);
        box.queuedBytes -= bytesOf(frame);
        this.numStale++;
        this.drop(frame);
      }
      for (const waiter of [...box.waiting.values()]) {
        if (waiter.key.epoch < this.epoch) waiter.reject(oldEpochError(waiter.key, this.epoch));
      }
    }
  }

  /** Muted: what is queued and what comes is dropped as stale; who waits is told ABORTED. */
  mute(rank: Rank, isMuted: boolean): void {
    const box = this.box(rank);
    box.isMuted = isMuted;
    if (!isMuted) return;
    this.numStale += box.queued.size;
    for (const frame of box.queued.values()) this.drop(frame);
    box.queued.clear();
    box.queuedBytes = 0;
    for (const waiter of [...box.waiting.values()]) waiter.reject(mutedError(rank, waiter.key));
  }

  /** Forgets everything; who waits is told CLOSED. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    for (const box of this.peers) {
      box.queued.clear();
      for (const waiter of [...box.waiting.values()]) waiter.reject(closedError(waiter.key));
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

  private drop(frame: Frame): void {
    this.released(frame);
    frame.release?.();
  }

  private released(frame: Frame): void {
    this.options.onReleased?.(frame.header.source, bytesOf(frame));
  }

  private enqueue(box: PeerBox, key: string, frame: Frame): void {
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
    box.queued.set(key, frame);
  }

  /** The frame if it is here, undefined if it may still come. @throws CommError if it never will. */
  private takeQueued(from: Rank, key: FrameKey, id: string, signal: AbortSignal | undefined): Frame | undefined {
    const box = this.box(from);
    if (this.closed) throw closedError(key);
    if (signal?.aborted === true) throw abortedError(from, key, signal);
    if (key.epoch < this.epoch) throw oldEpochError(key, this.epoch);
    if (box.waiting.has(id) || box.taken.has(id)) {
      throw new CommError(
        'INVALID_ARGUMENT',
        `${nameOf(key)} from rank ${from} is received twice; use a new tag per call`,
      );
    }
    const frame = box.queued.get(id);
    if (frame === undefined) {
      if (box.loss !== undefined) throw lostError(from, key, box.loss);
      if (box.isMuted) throw mutedError(from, key);
      return undefined;
    }
    box.queued.delete(id);
    box.queuedBytes -= bytesOf(frame);
    box.taken.add(id);
    this.released(frame);
    return frame;
  }

  private wait(
    from: Rank,
    key: FrameKey,
    id: string,
    { timeoutMs, signal }: Wait,
    { resolve, reject }: Pick<Waiter, 'resolve' | 'reject'>,
  ): void {
    const { waiting } = this.box(from);
    const settle = (): void => {
      deadline.cancel();
      signal?.removeEventListener('abort', onAbort);
      waiting.delete(id);
    };
    const waiter: Waiter = {
      key,
      resolve: (frame) => {
        settle();
        resolve(frame);
      },
      reject: (error) => {
        settle();
        reject(error);
      },
    };
    const onAbort = (): void => waiter.reject(abortedError(from, key, signal));
    const deadline = new Deadline(timeoutMs, () => waiter.reject(timeoutError(from, key, timeoutMs)));
    signal?.addEventListener('abort', onAbort);
    waiting.set(id, waiter);
  }
}

/** The keys taken last; the oldest is forgotten first. */
class TakenKeys {
  private readonly keys = new Set<string>();
  private readonly inOrder: string[] = [];
  private next = 0;

  has(key: string): boolean {
    return this.keys.has(key);
  }

  add(key: string): void {
    const oldest = this.inOrder[this.next];
    if (oldest !== undefined) this.keys.delete(oldest);
    this.keys.add(key);
    this.inOrder[this.next] = key;
    this.next = (this.next + 1) % MAX_TAKEN_KEYS;
  }
}

const bytesOf = (frame: Frame): number => FRAME_HEADER_BYTES + frame.payload.byteLength;
