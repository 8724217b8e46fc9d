/**
 * An answer that is sent piece by piece: what its reader leaves unread is bounded, and so is how long it may.
 * Why: docs/decisions/serving.md#what-a-slow-reader-can-hold
 */
import type { FastifyReply } from 'fastify';
import type { ExpertwireConfig } from '../../config/schema.js';

/** What a client may leave unread, and for how long. */
export type ReaderLimits = Pick<ExpertwireConfig['server'], 'max_unread_bytes' | 'slow_reader_timeout_ms'>;

/** How an answer begins. */
export interface AnswerStart {
  readonly status: number;
  /** Besides those that the reply has already. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** An answer in pieces. */
export class ReplyStream {
  /** Sends the head of the answer; from here on it is the stream's. */
  constructor(
    private readonly reply: FastifyReply,
    private readonly limits: ReaderLimits,
    { status, headers }: AnswerStart,
  ) {
    reply.hijack();
    for (const [name, value] of Object.entries({ ...reply.getHeaders(), ...headers })) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    reply.raw.writeHead(status);
    reply.raw.flushHeaders();
  }

  /**
   * Sends a piece. Waits where the client has too much unread, up to the limit; then its connection is closed. False: nobody listens any more.
   */
  async send(piece: string | Uint8Array): Promise<boolean> {
    const { raw } = this.reply;
    if (this.isGone) return false;
    if (piece.length === 0) return true;
    // What the connection takes without being full is never told to be drained.
    const isTaken = raw.write(piece);
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
