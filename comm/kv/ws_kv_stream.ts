/** The target's end of a link for keys and values over a WebSocket. */
import type { WebSocket } from 'ws';
import { Deadline } from '../base/deadline.js';
import { CommError } from '../base/errors.js';
import type { KvStreamOf } from './kv_link.js';
import { decodeFailure } from './kv_messages.js';

/** Checks what was asked for, frame by frame. */
export interface FrameIntake<Content> {
  /** Everything has come. */
  readonly isComplete: boolean;
  /** Null: there is nothing whole yet. @throws CommError for anything else than is due */
  take(frame: Uint8Array): Content | null;
}

/** So much may wait here: the rest waits in the socket, and then at the source. */
const MAX_WAITING_BYTES = 2 * 1024 * 1024;
/** Signs of life that fit into the silence that ends the link. */
const PINGS_PER_TIMEOUT = 6;

/** Frames of an accepted link, in their order. Nothing is read of it while too many of them wait. */
export class WsKvStream<Content> implements KvStreamOf<Content> {
  private readonly waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private failure: CommError | null = null;
  private wake: () => void = () => undefined;
  private deadline: Deadline | null = null;
  private readonly pings: NodeJS.Timeout;

  /** `timeoutMs`: how long the source may give no sign of life. */
  constructor(
    private readonly ws: WebSocket,
    private readonly intake: FrameIntake<Content>,
    private readonly timeoutMs: number,
  ) {
    this.pings = setInterval(() => ws.ping(), timeoutMs / PINGS_PER_TIMEOUT);
    this.listen();
    ws.on('message', (data, isBinary) => this.hear(data as Buffer, isBinary));
    ws.on('pong', () => this.listen());
    ws.on('error', (error) => this.fail(lost(error.message)));
    ws.on('close', (code) => this.fail(lost(`the link closed (${code})`)));
  }

  /** What came before the link ended comes first. */
  async next(): Promise<Content | null> {
    while (!this.intake.isComplete) {
      const content = this.intake.take(await this.nextFrame());
      if (content !== null) return content;
    }
    return null;
  }

  private async nextFrame(): Promise<Uint8Array> {
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
    return frame;
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
    const { timeoutMs } = this;
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
