/**
 * Server-sent events over an answer: what a reader leaves unread is bounded, and so is how long it may.
 * Why: docs/decisions/serving.md#what-a-slow-reader-can-hold
 */
import type { FastifyReply } from 'fastify';
import type { ExpertwireConfig } from '../../config/schema.js';

/** What a client may leave unread, and for how long. */
export type ReaderLimits = Pick<ExpertwireConfig['server'], 'max_unread_bytes' | 'slow_reader_timeout_ms'>;

/** An answer of events. */
export class EventStream {
  /** Sends the head of the answer; from here on it is the stream's. */
  constructor(
    private readonly reply: FastifyReply,
    private readonly limits: ReaderLimits,
  ) {
    reply.hijack();
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    reply.raw.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no', // nginx would hold events back
    });
    reply.raw.flushHeaders();
  }

  /**
   * Sends frames. Waits where the client has too much unread, up to the limit; then its connection is closed. False: nobody listens any more.
   */
  async send(frames: string): Promise<boolean> {
    const { raw } = this.reply;
    if (this.isGone) return false;
    if (frames === '') return true;
    // What the connection takes without being full is never told to be drained.
    const isTaken = raw.write(frames);
    if (isTaken || raw.writableLength < this.limits.max_unread_bytes) return true;
    const isRead = await this.drained();
    if (!isRead) this.giveUp();
    return isRead;
  }

  /** Ends the answer; a client that doesn't read the rest of it is disconnected. Idempotent. */
  end(): void {
    const { raw } = this.reply;
    if (this.isGone || raw.writableEnded) return;
    raw.setTimeout(this.limits.slow_reader_timeout_ms, () => this.giveUp());
    raw.end();
  }

  private giveUp(): void {
    const { raw, log } = this.reply;
    if (raw.destroyed) return; // it went by itself
    log.warn({ unreadBytes: raw.writableLength }, 'a client did not read its answer; it was given up');
    raw.destroy();
  }

  private get isGone(): boolean {
    const { destroyed, closed } = this.reply.raw;
    return destroyed || closed;
  }

  /** Whether the client read on in time. */
  private drained(): Promise<boolean> {
    const { raw } = this.reply;
    return new Promise((resolve) => {
      const settle = (isRead: boolean): void => {
        clearTimeout(timer);
        raw.off('drain', onDrain);
        raw.off('close', onClose);
        resolve(isRead);
      };
      const onDrain = (): void => settle(true);
      const onClose = (): void => settle(false);
      const timer = setTimeout(onClose, this.limits.slow_reader_timeout_ms);
      raw.once('drain', onDrain);
      raw.once('close', onClose);
    });
  }
}

/** One event without a name. */
export const dataFrame = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

/** One event with a name. */
export const namedFrame = (name: string, data: object): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/** How OpenAI's streams end. */
export const DONE_FRAME = 'data: [DONE]\n\n';
