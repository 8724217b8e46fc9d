/** One authenticated WebSocket between the head and a rank, for control messages. */
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import { Deadline, checkTimeout } from '../base/deadline.js';
import { CommError, remoteErrorOf } from '../base/errors.js';
import { decodeMessage, encodeMessage, type ControlMessage } from './messages.js';
import type { Wait } from '../mesh/mesh.js';

/** Why a control link ended. */
export type LinkClosed = { readonly kind: 'closed' } | { readonly kind: 'lost'; readonly why: string };

/** Called for one message; a failure, thrown or rejected, loses the link. */
export type MessageHandler = (message: ControlMessage) => void | Promise<void>;

/** A rank hears why its link ends. */
export function dismiss(link: Pick<ControlLink, 'isOpen' | 'send' | 'close'>, error: CommError): void {
  if (link.isOpen) link.send({ type: 'failed', error: remoteErrorOf(error) });
  void link.close();
}

const KEEP_ALIVE_MS = 10000;
const CLOSE_GRACE_MS = 500;
/** Signs of life that fit into the silence that loses a link. */
const PINGS_PER_TIMEOUT = 6;
/** Messages that wait for a handler; a peer has no reason to send more before it is answered. */
const MAX_QUEUED = 1024;

/** Either end of the link, from the moment at which the peer is authenticated: messages in both directions, and how it ends. */
export class ControlLink {
  /** Address of this end, as the peer's machine can reach it. */
  readonly localAddress: string;
  /** Address of the other end. */
  readonly remoteAddress: string;
  /** Settles once, with why the link ended. */
  readonly closed: Promise<LinkClosed>;
  private readonly settleClosed: (why: LinkClosed) => void;
  private ended: LinkClosed | undefined;
  private handler: MessageHandler | undefined;
  private readonly queued: ControlMessage[] = [];
  private closing: Promise<void> | undefined;

  /** Takes an authenticated socket, in the turn in which its handshake ended. */
  constructor(
    private readonly ws: WebSocket,
    socket: Socket,
  ) {
    this.localAddress = plainAddress(socket.localAddress ?? '127.0.0.1');
    this.remoteAddress = socket.remoteAddress ?? 'unknown';
    // A machine that vanished sends no FIN.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    let settle: (why: LinkClosed) => void = () => undefined;
    this.closed = new Promise((resolve) => (settle = resolve));
    this.settleClosed = settle;
    ws.on('message', (data) => this.hear(data));
    ws.on('error', (error) => this.lose(error.message));
    ws.on('close', (code, reason) =>
      this.end({ kind: 'lost', why: `connection closed (${code}) ${reason.toString()}`.trim() }),
    );
  }

  get isOpen(): boolean {
    return this.ended === undefined;
  }

  /** Queues a message. @throws CommError LIMIT when it is too large, CLOSED after the link ended. */
  send(message: ControlMessage): void {
    if (this.ended !== undefined) throw closedError(this.ended, `sending '${message.type}'`);
    this.ws.send(encodeMessage(message), (error) => {
      if (error) this.lose(error.message);
    });
  }

  /**
   * Calls `handler` for every message in order, beginning with those that came before. It isn't awaited; when it throws
   * or rejects, the link is closed and `closed` says why. Undefined takes the handler away: messages queue again.
   */
  onMessage(handler: MessageHandler | undefined): void {
    this.handler = handler;
    this.drain();
  }

  /** Puts messages that a handler took, in their order, before those that queue. */
  putBack(messages: readonly ControlMessage[]): void {
    this.queued.unshift(...messages);
    this.drain();
  }

  /** The next message, for a dialogue without a handler. @throws CommError TIMEOUT, ABORTED, or CLOSED when the link ends first. */
  receive({ timeoutMs, signal }: Wait): Promise<ControlMessage> {
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (): void => {
        isSettled = true;
        deadline.cancel();
        signal?.removeEventListener('abort', onAbort);
        this.onMessage(undefined);
      };
      const fail = (error: CommError): void => {
        if (isSettled) return;
        settle();
        reject(error);
      };
      const onAbort = (): void =>
        fail(
          new CommError('ABORTED', 'the caller ended the wait for a control message; join again', {
            cause: signal?.reason,
          }),
        );
      const deadline = new Deadline(checkTimeout(timeoutMs), () =>
        fail(
          new CommError('TIMEOUT', `no control message in ${timeoutMs} ms; look at the other side's log`, {
            waitedMs: timeoutMs,
          }),
        ),
      );
      signal?.addEventListener('abort', onAbort);
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      this.onMessage((message) => {
        settle();
        resolve(message);
      });
      void this.closed.then((why) => fail(closedError(why, 'waiting for a control message')));
    });
  }

  /**
   * Loses the link when the peer gives no sign of life for `timeoutMs` of this process's running event loop: a network that went away closes no
   * socket for a quarter of an hour. Only for a peer that doesn't compute, as a head or a spare rank. Returns what ends the watch with the peer's next answer:
   * false where the link ends first.
   */
  watch(timeoutMs: number): () => Promise<boolean> {
    const onSilence = (): void => this.lose(`no sign of life in ${timeoutMs} ms`);
    let deadline = new Deadline(checkTimeout(timeoutMs), onSilence);
    const onLife = (): void => {
      deadline.cancel();
      deadline = new Deadline(timeoutMs, onSilence);
    };
    const pings = setInterval(() => this.ws.ping(), timeoutMs / PINGS_PER_TIMEOUT);
    this.ws.on('message', onLife).on('pong', onLife);
    const stop = (): void => {
      clearInterval(pings);
      deadline.cancel();
      this.ws.off('message', onLife).off('pong', onLife);
    };
    void this.closed.then(stop);
    return () =>
      new Promise((resolve) => {
        void this.closed.then(() => resolve(false));
        this.ws.once('pong', () => {
          stop();
          resolve(this.isOpen);
        });
        if (this.isOpen) this.ws.ping();
      });
  }

  /** Idempotent: ends the link after what was sent left, or after a short grace. */
  close(): Promise<void> {
    this.end({ kind: 'closed' });
    this.closing ??= this.shut();
    return this.closing;
  }

  private shut(): Promise<void> {
    if (this.ws.readyState === this.ws.CLOSED) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.ws.terminate(), CLOSE_GRACE_MS);
      this.ws.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      this.ws.close(1000);
    });
  }

  private hear(data: RawData): void {
    if (this.ended !== undefined) return;
    try {
      this.queued.push(decodeMessage(data as Buffer));
      if (this.queued.length > MAX_QUEUED) throw new CommError('LIMIT', `${MAX_QUEUED} control messages wait unread`);
    } catch (error) {
      this.lose(messageOf(error));
      return;
    }
    this.drain();
  }

  private drain(): void {
    while (this.handler !== undefined && this.queued.length > 0) {
      const message = this.queued.shift()!;
      void this.handle(this.handler, message);
    }
  }

  private async handle(handler: MessageHandler, message: ControlMessage): Promise<void> {
    try {
      await handler(message);
    } catch (error) {
      this.lose(`handling '${message.type}' failed: ${messageOf(error)}`);
    }
  }

  private lose(why: string): void {
    this.end({ kind: 'lost', why });
    this.ws.terminate();
  }

  private end(why: LinkClosed): void {
    if (this.ended !== undefined) return;
    this.ended = why;
    this.settleClosed(why);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function closedError(why: LinkClosed, during: string): CommError {
  const what = why.kind === 'closed' ? 'the control link was closed' : `the control link was lost: ${why.why}`;
  return new CommError('CLOSED', `${what} while ${during}; look at the other side's log`);
}

/** An IPv4 address that a dual-stack socket wraps, as itself. */
const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, '');
