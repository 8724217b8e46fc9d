/** A control link inside one process: messages are encoded as on the wire and arrive in a later turn. */
import type { LinkClosed, MessageHandler } from '../../../comm/job/control_link.js';
import { Deadline } from '../../../comm/base/deadline.js';
import { decodeMessage, encodeMessage, type ControlMessage } from '../../../comm/job/messages.js';

/** In milliseconds, each time anew. */
export type Latency = () => number;

/** What takes its time to the other end, and never overtakes what was sent before. */
export class SlowWire {
  private readonly sent: (() => void)[] = [];
  private isCut = false;

  constructor(private readonly latency: Latency) {}

  /** Calls `arrive` behind all that was sent before. */
  carry(arrive: () => void): void {
    this.sent.push(arrive);
    if (this.sent.length === 1) this.next();
  }

  /** What is on its way is gone. */
  cut(): void {
    this.isCut = true;
  }

  /** One at a time: each latency begins when the one before is over. */
  private next(): void {
    const ms = this.latency();
    const arrive = (): void => {
      if (this.isCut) return;
      const first = this.sent.shift()!;
      if (this.sent.length > 0) this.next();
      first();
    };
    if (ms === 0) setImmediate(arrive);
    else setTimeout(arrive, ms);
  }
}

export class MemoryLink {
  /** This end gives no sign of life. */
  isStopped = false;
  readonly closed: Promise<LinkClosed>;
  isOpen = true;
  readonly remoteAddress = 'this process';
  private settleClosed!: (why: LinkClosed) => void;
  private peer!: MemoryLink;
  private handler: MessageHandler | undefined;
  private wire: Pick<SlowWire, 'carry'> = { carry: (arrive) => void setImmediate(arrive) };
  private readonly queued: ControlMessage[] = [];

  private constructor() {
    this.closed = new Promise((resolve) => (this.settleClosed = resolve));
  }

  /** Both ends. `latency`: how many milliseconds what is sent takes, each time anew; it never overtakes. Default: a turn of the event loop. */
  static pair(latency?: Latency): [MemoryLink, MemoryLink] {
    const [a, b] = [new MemoryLink(), new MemoryLink()];
    [a.peer, b.peer] = [b, a];
    if (latency !== undefined) for (const end of [a, b]) end.wire = new SlowWire(latency);
    return [a, b];
  }

  send(message: ControlMessage): void {
    const bytes = encodeMessage(message);
    this.wire.carry(() => this.peer.arrive(decodeMessage(bytes)));
  }

  onMessage(handler: MessageHandler | undefined): void {
    this.handler = handler;
    this.drain();
  }

  /** Messages that somebody took too early. */
  putBack(messages: readonly ControlMessage[]): void {
    this.queued.unshift(...messages);
    this.drain();
  }

  watch(timeoutMs: number): () => Promise<boolean> {
    const onSilence = (): void => this.end({ kind: 'lost', why: `no sign of life in ${timeoutMs} ms` });
    let deadline = new Deadline(timeoutMs, onSilence);
    let answered = (): void => undefined;
    const ask = (): void =>
      void setImmediate(() => {
        if (this.peer.isStopped || !this.isOpen) return;
        deadline.cancel();
        deadline = new Deadline(timeoutMs, onSilence);
        answered();
      });
    const timer = setInterval(ask, timeoutMs / 6);
    const stop = (): void => {
      clearInterval(timer);
      deadline.cancel();
    };
    void this.closed.then(stop);
    return () =>
      new Promise((resolve) => {
        answered = () => {
          stop();
          resolve(true);
        };
        void this.closed.then(() => resolve(false));
        ask();
      });
  }

  close(): Promise<void> {
    this.end({ kind: 'closed' });
    this.wire.carry(() => this.peer.end({ kind: 'lost', why: 'connection closed' }));
    return Promise.resolve();
  }

  private arrive(message: ControlMessage): void {
    if (!this.isOpen) return;
    this.queued.push(message);
    this.drain();
  }

  private drain(): void {
    while (this.handler !== undefined && this.queued.length > 0) void this.handler(this.queued.shift()!);
  }

  private end(why: LinkClosed): void {
    this.isOpen = false;
    this.settleClosed(why);
  }
}
