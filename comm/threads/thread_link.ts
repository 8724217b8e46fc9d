/** A link to one other thread: small frames go through rings in shared memory, everything else through a message port. */
import { receiveMessageOnPort, type MessagePort } from 'node:worker_threads';
import type { FrameHeader } from '../mesh/frame.js';
import type { Rank } from '../../base/ids.js';
import type { ArrivingFrame } from '../mesh/mesh.js';
import type { PayloadMemory } from '../mesh/payload_pool.js';
import { FramePort, framesOf, isFrameMessage, type FrameMessage } from './frame_port.js';
import { RingReader, RingWriter } from './frame_ring.js';
import { Naps, Posts, ringOf } from './inbox.js';
import type { ThreadSeat } from './thread_seat.js';

/** What travels besides frames: why nothing more comes. */
export type Farewell = 'it closed its mesh' | 'it ended the link' | 'it refused a frame; its log says why';
/** Says nothing: who hears it looks into the rings. */
type Bell = null;
type Message = FrameMessage | Farewell | Bell;

/** Who a link brings what it finds. */
export interface LinkOwner {
  /** A frame came. */
  onFrame(peer: Rank, frame: ArrivingFrame): void;
  /** The peer sends nothing more; everything that it sent was brought. */
  onFarewell(peer: Rank, why: Farewell | 'its thread ended'): void;
  /** The peer brought something no link would. */
  onRefused(peer: Rank, error: unknown): void;
  /** The peer rang: whoever took the bell from the port, the nap in which it was rung is over. */
  onBell(): void;
  /** The event loop brought a message: a moment to look for what others sent. */
  onHeard(): void;
}

/** The own end of one link. */
export class ThreadLink {
  private readonly port: MessagePort;
  private readonly frames: FramePort<Farewell>;
  private readonly outgoing: RingWriter;
  private readonly incoming: RingReader;
  private readonly naps: Naps;
  /** The nap in which the peer was rung last: once is enough. */
  private rungNap = 0;
  /** Messages of the peer, and to it. */
  private readonly posts: Posts;
  private readonly posted: Posts;
  private numHeard = 0;
  private isOver = false;
  private numWrites = 0;

  constructor(
    { rank, size, ports, inboxes }: ThreadSeat,
    private readonly peer: Rank,
    private readonly memory: PayloadMemory,
    private readonly owner: LinkOwner,
  ) {
    this.port = ports[peer]!;
    const [own, others] = [inboxes[rank]!, inboxes[peer]!];
    this.incoming = new RingReader(ringOf(own, peer, size));
    this.outgoing = new RingWriter(ringOf(others, rank, size));
    this.posts = new Posts(own, peer, size);
    this.naps = new Naps(others);
    this.posted = new Posts(others, rank, size);
    this.frames = new FramePort(this, memory);
    this.port.on('message', (message: Message) => this.hear(message));
    this.port.on('close', () => this.end('its thread ended'));
  }

  /** Messages posted so far, bells among them. */
  get writes(): number {
    return this.numWrites;
  }

  /** Sends a copy of the payload; the caller may change its own at once. Never waits: what the ring has no room for goes through the port. */
  send(header: FrameHeader, payload: readonly Uint8Array[]): void {
    if (this.outgoing.write(header, payload)) this.ring();
    else this.frames.send(header, payload);
  }

  /** The same of a payload that the memory gave: nobody here can use it any more. */
  give(header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    if (!this.outgoing.write(header, [payload])) return this.frames.give(header, payload);
    this.memory.release(payload);
    this.ring();
  }

  /** For what goes through the port: the peer need not ask its port whether something is there. */
  postMessage(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.port.postMessage(message, transfer);
    this.posted.add();
    this.numWrites++;
  }

  /** Lets go what was gathered for the port. */
  flush(): void {
    this.frames.flush();
  }

  /**
   * Brings what has come, without the event loop. Cheap where nothing has. What comes meanwhile is left for the next look, so that a peer that sends without
   * end keeps nobody: whoever said that it sleeps before it looked is woken for that.
   */
  look(): void {
    if (this.isOver) return;
    this.readRing();
    const numPosted = this.posts.count;
    while (((numPosted - this.numHeard) | 0) > 0) {
      // The close of a port says itself that it is there; it is no message and not counted.
      const received = receiveMessageOnPort(this.port) as { message: Message } | undefined;
      if (received === undefined) return;
      this.take(received.message);
    }
  }

  /** Ends the link: the peer is told why, behind everything that was sent before. What it still sends isn't read. */
  part(farewell: Farewell): void {
    this.isOver = true;
    this.frames.post(farewell);
    this.port.close();
  }

  /** The event loop brought a message. */
  private hear(message: Message): void {
    this.take(message);
    this.owner.onHeard();
  }

  private take(message: Message): void {
    this.numHeard = (this.numHeard + 1) | 0;
    if (message === null) return this.owner.onBell();
    if (this.isOver) return;
    if (!isFrameMessage(message)) return this.end(message);
    try {
      for (const frame of framesOf(message, this.memory)) this.owner.onFrame(this.peer, frame);
    } catch (error) {
      this.owner.onRefused(this.peer, error);
    }
  }

  private readRing(): void {
    const { incoming } = this;
    const { written } = incoming;
    try {
      while (incoming.position !== written && !this.isOver) this.owner.onFrame(this.peer, incoming.next(this.memory)!);
    } catch (error) {
      this.owner.onRefused(this.peer, error);
    }
  }

  /** Nothing more comes, and everything that was written before is seen here. */
  private end(why: Farewell | 'its thread ended'): void {
    if (!this.isOver) this.readRing();
    if (this.isOver) return;
    this.isOver = true;
    this.port.close();
    this.owner.onFarewell(this.peer, why);
  }

  /** Wakes the peer if it sleeps. */
  private ring(): void {
    const nap = this.naps.count;
    if ((nap & 1) === 0 || nap === this.rungNap) return;
    this.rungNap = nap;
    this.postMessage(null satisfies Bell);
  }
}
