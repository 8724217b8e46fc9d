/**
 * Everything between this rank and one peer: two connections, each carrying frames from the rank that accepted it to
 * the rank that dialed it, and credit the other way. So no frame is ever masked, and no credit waits behind frames.
 */
import type { CommError } from '../../base/errors.js';
import type { FrameHeader } from '../../mesh/frame.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import type { PayloadStream } from '../../mesh/payload_stream.js';
import type { InboundLink, InboundOptions } from './inbound_link.js';
import type { LeavingEnd } from './settling.js';
import type { OutboundLink, OutboundOptions } from './outbound_link.js';

/** What a mesh is told of a link. */
export interface LinkEvents {
  /** Frames travel both ways from now on. */
  onOpen(): void;
  /** Called once: nothing more comes, both connections are gone. */
  onLost(why: string, code: CommError['code']): void;
}

const CLOSE_GRACE_MS = 500;

/** Both connections to one peer, which are set one by one, and whose first trouble loses the link. */
export class Link {
  private inbound: InboundLink | undefined;
  private outbound: OutboundLink | undefined;
  private isClosing = false;
  private isLost = false;

  /** `ticket`: what the peer must show that dials for it. */
  constructor(
    readonly ticket: string,
    private readonly events: LinkEvents,
  ) {}

  /** Both connections are there and the peer reads. */
  get isOpen(): boolean {
    return !this.isLost && this.inbound !== undefined && this.outbound?.isReady === true;
  }

  get hasOutbound(): boolean {
    return this.outbound !== undefined;
  }

  /** `make` gets what the connection that this rank dialed reports to. */
  setInbound(make: (events: Pick<InboundOptions, 'onEnd'>) => InboundLink): void {
    this.inbound = make({ onEnd: (why, code) => this.cut(why, code) });
    if (this.isLost) this.inbound.terminate();
    this.afterChange();
  }

  /** `make` gets what the connection that the peer dialed reports to. */
  setOutbound(make: (events: Pick<OutboundOptions, 'onEnd' | 'onReady'>) => OutboundLink): void {
    const events = {
      onEnd: (why: string, code: CommError['code']) => this.cut(why, code),
      onReady: () => this.afterChange(),
    };
    this.outbound = make(events);
    if (this.isLost) this.outbound.terminate();
    this.afterChange();
  }

  /** `onSent`: the payload isn't used any more. @throws CommError LIMIT when a whole window waits already. */
  send(header: FrameHeader, payload: readonly Uint8Array[], onSent?: () => void): void {
    this.outbound!.send(header, payload, onSent);
  }

  /** As `send`, of a payload that is made while it leaves; `memory` is where its rest is made. Returns what has the rest made. */
  stream(header: FrameHeader, payload: PayloadStream, memory: PayloadMemory): () => void {
    return this.outbound!.stream(header, payload, memory);
  }

  /** Writes to the socket so far. */
  get numWrites(): number {
    return this.outbound?.numWrites ?? 0;
  }

  /** Where frames leave; undefined until the peer has dialed. */
  get leaving(): LeavingEnd | undefined {
    return this.outbound;
  }

  /** What was sent leaves now. */
  flush(): void {
    this.outbound?.flush();
  }

  /** A frame of the peer was taken or dropped. */
  released(frameBytes: number): void {
    this.inbound?.released(frameBytes);
  }

  /** Idempotent: ends both connections after what was sent left, or after a short grace. */
  close(): Promise<void> {
    this.isClosing = true;
    const open = [this.inbound, this.outbound].filter((end) => end?.isClosed === false);
    if (open.length === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.cut('closing took too long', 'CLOSED'), CLOSE_GRACE_MS);
      let numOpen = open.length;
      const onClosed = (): void => {
        numOpen--;
        if (numOpen > 0) return;
        clearTimeout(timer);
        resolve();
      };
      for (const end of open) end!.onceClosed(onClosed);
      // The peer ends both once it read the goodbye behind the last frame; the own inbound has nothing to say.
      if (this.outbound?.isClosed === false) this.outbound.close();
      else this.cut('half a link', 'CLOSED');
    });
  }

  /** Ends both connections at once, those that are still to come too, without telling. */
  drop(): void {
    this.isClosing = true;
    this.cut('the link was dropped', 'CLOSED');
  }

  /** Ends both connections at once and tells why, unless this end is closing anyway. */
  cut(why: string, code: CommError['code']): void {
    if (this.isLost) return;
    this.isLost = true;
    if (!this.isClosing) this.events.onLost(why, code);
    this.outbound?.terminate();
    this.inbound?.terminate();
  }

  private afterChange(): void {
    if (this.isOpen) this.events.onOpen();
  }
}
