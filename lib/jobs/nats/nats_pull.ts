/**
 * Messages of a consumer, exactly as many as there is room for. NATS' own client prefetches, and a task that waits behind a long one in one worker while another is idle waits for nothing.
 */
import { createInbox, nanos, type Msg, type Subscription } from '@nats-io/transport-node';
import type { NatsCalls } from './nats_calls.js';
import { HeldMessage } from './nats_messages.js';

/** Of a request; then it is made again. */
const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 5000;
/** Without a sign of the server. */
const SILENCE_MS = 3 * HEARTBEAT_MS;

/** Statuses of JetStream. */
const HEARTBEAT = 100;
const NO_RESPONDERS = 503;
const CONFLICT = 409;

/** Which consumer. */
export interface PulledFrom {
  readonly stream: string;
  readonly consumer: string;
}

/** Who is told. */
export interface PullListener {
  readonly hear: (message: HeldMessage) => void;
  /** What was asked for was not given; it may be asked for again. */
  readonly expired: () => void;
  /** The consumer, or the way to it, is gone. */
  readonly lost: () => void;
}

/** Asks for messages, and takes back what it asked for. */
export class NatsPull {
  private inbox: Subscription | null = null;
  /** Messages that may come. */
  private asked = 0;
  private heardMs = performance.now();
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly calls: NatsCalls,
    private readonly from: PulledFrom,
    private readonly listener: PullListener,
  ) {
    this.timer = setInterval(() => this.checkAlive(), HEARTBEAT_MS).unref();
  }

  /** As many as `count` may come from now on. */
  want(count: number): void {
    if (count <= this.asked || !this.calls.link.isUp) return;
    const { stream, consumer } = this.from;
    if (this.asked === 0) this.heardMs = performance.now();
    this.inbox ??= this.subscribe();
    const ask = { batch: count - this.asked, expires: nanos(EXPIRES_MS), idle_heartbeat: nanos(HEARTBEAT_MS) };
    this.asked = count;
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`;
    this.calls.nats.publish(subject, JSON.stringify(ask), { reply: this.inbox.getSubject() });
  }

  /** None are wanted any more; those that are under way still come. Resolves when none is. */
  async cancel(): Promise<void> {
    const { inbox } = this;
    if (inbox === null || this.asked === 0) return;
    this.asked = 0;
    this.inbox = null;
    await inbox.drain().catch(() => undefined);
  }

  /** As {@link cancel}, for good. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    const { inbox } = this;
    this.inbox = null;
    if (inbox !== null && !inbox.isClosed()) await inbox.drain().catch(() => undefined);
  }

  private subscribe(): Subscription {
    const inbox: Subscription = this.calls.nats.subscribe(createInbox(), {
      callback: (error, message) => (error === null ? this.take(inbox, message) : this.lose(inbox)),
    });
    return inbox;
  }

  private take(inbox: Subscription, message: Msg): void {
    this.heardMs = performance.now();
    const isCurrent = inbox === this.inbox;
    const code = message.headers?.code ?? 0;
    if (code === 0) {
      if (isCurrent) this.asked--;
      this.listener.hear(new HeldMessage(this.calls, message));
    } else if (isCurrent && code !== HEARTBEAT) this.end(inbox, code, message);
  }

  /** A request ended. */
  private end(inbox: Subscription, code: number, { headers }: Msg): void {
    const isLost =
      code === NO_RESPONDERS || (code === CONFLICT && /delete|leadership|shutdown/i.test(headers?.description ?? ''));
    if (isLost) return this.lose(inbox);
    // No header reads as an empty text.
    const numLeft = Number(headers?.get('Nats-Pending-Messages')) || 1;
    this.asked = Math.max(this.asked - numLeft, 0);
    this.listener.expired();
  }

  private lose(inbox: Subscription): void {
    if (inbox !== this.inbox) return;
    void this.cancel();
    this.listener.lost();
  }

  private checkAlive(): void {
    if (this.asked === 0 || this.inbox === null || !this.calls.link.isUp) return;
    if (performance.now() - this.heardMs > SILENCE_MS) this.lose(this.inbox);
  }
}
