/** The target's end of a link for keys and values over a WebSocket. */
import type { WebSocket } from 'ws';
import { Deadline } from '../base/deadline.js';
import { CommError } from '../base/errors.js';
import { KvIntake } from './kv_frames.js';
import type { KvArrival, KvStream, KvWish } from './kv_link.js';
import { decodeFailure } from './kv_messages.js';

/** What was asked for, and how long the source may give no sign of life. */
export interface WsKvStreamOptions {
  readonly wish: KvWish;
  readonly timeoutMs: number;
}

/** So much may wait here: the rest waits in the socket, and then at the source. */
const MAX_WAITING_BYTES = 2 * 1024 * 1024;
/** Signs of life that fit into the silence that ends the link. */
const PINGS_PER_TIMEOUT = 6;

/** Frames of an accepted link, in their order. Nothing is read of it while too many of them wait. */
export class WsKvStream implements KvStream {
  private readonly intake: KvIntake;
  private readonly waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private failure: CommError | null = null;
  private wake: () => void = () => undefined;
  private deadline: Deadline | null = null;
  private readonly pings: NodeJS.Timeout;

  constructor(
    private readonly ws: WebSocket,
    private readonly options: WsKvStreamOptions,
  ) {
    const { wish, timeoutMs } = options;
    this.intake = new KvIntake(wish);
    this.pings = setInterval(() => ws.ping(), timeoutMs / PINGS_PER_TIMEOUT);
    this.listen();
    ws.on('message', (data, isBinary) => this.hear(data as Buffer, isBinary));
    ws.on('pong', () => this.listen());
    ws.on('error', (error) => this.fail(lost(error.message)));
    ws.on('close', (code) => this.fail(lost(`the link closed (${code})`)));
  }

  /** What came before the link ended comes first. */
  async next(): Promise<KvArrival | null> {
    if (this.intake.isComplete) return null;
    while (this.waiting.length === 0) {
      if (this.failure !== null) throw this.failure;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    const frame = this.waiting.shift()!;
    this.waitingBytes -= frame.byteLength;
    if (this.ws.isPaused && this.waitingBytes <= MAX_WAITING_BYTES / 2) {
      this.ws.resume();
      this.listen();
    }
    return this.intake.take(frame);
  }

  /** Nothing more is read. */
  close(): void {
    this.fail(new CommError('ABORTED', 'nobody wants these keys and values any more'));
    this.ws.terminate();
  }

  private hear(message: Uint8Array, isBinary: boolean): void {
    if (!isBinary) {
      this.fail(failureIn(message));
      return;
    }
    this.waiting.push(message);
    this.waitingBytes += message.byteLength;
    if (this.waitingBytes > MAX_WAITING_BYTES) this.ws.pause();
    this.listen();
    this.wake();
  }

  /** A source that computes answers late; while nothing is read of it, it can't be heard. */
  private listen(): void {
    this.deadline?.cancel();
    if (this.failure !== null || this.ws.isPaused) return;
    const { timeoutMs } = this.options;
    this.deadline = new Deadline(timeoutMs, () => {
      this.fail(lost(`no sign of life in ${timeoutMs} ms`));
      this.ws.terminate();
    });
  }

  private fail(error: CommError): void {
    if (this.failure !== null) return;
    this.failure = error;
    this.deadline?.cancel();
    clearInterval(this.pings);
    this.wake();
  }
}

const lost = (why: string): CommError =>
  new CommError('PEER_LOST', `the rank that has the keys and values is gone: ${why}; compute them`, { phase: 'kv' });

function failureIn(message: Uint8Array): CommError {
  try {
    return decodeFailure(message);
  } catch (error) {
    return error as CommError; // PROTOCOL
  }
}
