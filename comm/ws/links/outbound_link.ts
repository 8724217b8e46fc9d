/** The connection that the peer dialed: this rank's frames go out, credit comes in. */
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import { SendWindow, type Window } from '../../mesh/credit.js';
import { CommError } from '../../base/errors.js';
import { FRAME_HEADER_BYTES, type FrameHeader } from '../../mesh/frame.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import type { PayloadStream } from '../../mesh/payload_stream.js';
import { decodeLinkControl, type LinkControl } from './link_control.js';
import type { LeavingEnd } from './settling.js';
import { WsWriter } from './ws_writer.js';

/** What may be out, and who is told when the peer reads and when the connection ends. */
export interface OutboundOptions {
  readonly window: Window;
  /** The peer reads frames from now on. */
  onReady(): void;
  /** Called for every way in which the connection ends or must end. */
  onEnd(why: string, code: CommError['code']): void;
}

interface QueuedFrame {
  readonly header: FrameHeader;
  readonly payload: readonly Uint8Array[];
  readonly onSent: (() => void) | undefined;
}

/** Writes frames as far as the peer's window allows, and queues those beyond it. */
export class OutboundLink implements LeavingEnd {
  private readonly writer: WsWriter;
  private readonly out: SendWindow;
  /** Frames beyond the window, in order. */
  private readonly queue: QueuedFrame[] = [];
  private queuedBytes = 0;
  private isPeerReady = false;
  private onDrained: (() => void) | undefined;

  /** Takes an authenticated connection, in the turn in which its handshake ended. */
  constructor(
    private readonly ws: WebSocket,
    private readonly socket: Socket,
    private readonly options: OutboundOptions,
  ) {
    this.writer = new WsWriter(socket);
    this.out = new SendWindow(options.window);
    ws.on('message', (data, isBinary) => this.receive(data, isBinary));
    ws.on('error', (error) => options.onEnd(error.message, 'PEER_LOST'));
    ws.on('close', (code) => options.onEnd(`its connection closed (${code})`, 'PEER_LOST'));
  }

  get isReady(): boolean {
    return this.isPeerReady;
  }

  get isClosed(): boolean {
    return this.ws.readyState === this.ws.CLOSED;
  }

  /**
   * Sends a frame, or keeps it until the peer takes others; `onSent` is called when its payload has left.
   * @throws CommError LIMIT when it keeps a whole window already
   */
  send(header: FrameHeader, payload: readonly Uint8Array[], onSent?: () => void): void {
    const frame = { header, payload, onSent };
    const frameBytes = FRAME_HEADER_BYTES + header.payloadBytes;
    if (this.queue.length === 0 && this.out.canSend(frameBytes)) this.write(frame);
    else this.keep(frame, frameBytes);
  }

  /**
   * As `send`, of a payload that is made while it leaves; where it must wait, it is made at once. Returns what has the rest made, in `memory`.
   * @throws CommError LIMIT as `send`
   */
  stream(header: FrameHeader, payload: PayloadStream, memory: PayloadMemory): () => void {
    const frameBytes = FRAME_HEADER_BYTES + header.payloadBytes;
    if (this.queue.length === 0 && this.out.canSend(frameBytes)) {
      this.out.sent(frameBytes);
      return this.writer.stream(header, payload, memory);
    }
    const whole = payload.rest();
    this.keep({ header, payload: [whole], onSent: () => memory.release(whole) }, frameBytes);
    return () => undefined;
  }

  /** Writes to the socket so far. */
  get numWrites(): number {
    return this.writer.numWrites;
  }

  get unsentBytes(): number {
    return this.writer.unsentBytes;
  }

  /** Calls `listener` whenever the system has taken what it was given. */
  onDrain(listener: () => void): void {
    this.socket.on('drain', listener);
  }

  /** Ends `onDrain`. */
  offDrain(listener: () => void): void {
    this.socket.off('drain', listener);
  }

  /** What was written leaves now. */
  flush(): void {
    this.writer.flush();
  }

  /** Says goodbye once everything that was sent has left. */
  close(): void {
    this.onDrained = () => {
      this.writer.finish();
      this.writer.flush();
      this.ws.close(1000);
    };
    this.drain();
  }

  /** Ends the connection at once; frames that wait are dropped. */
  terminate(): void {
    this.queue.length = 0;
    this.ws.terminate();
  }

  /** Calls `done` when the connection has closed; not for one that is closed already. */
  onceClosed(done: () => void): void {
    this.ws.once('close', done);
  }

  private keep(frame: QueuedFrame, frameBytes: number): void {
    const { window } = this.options;
    const queuedBytes = this.queuedBytes + frameBytes;
    if (queuedBytes > window.numBytes || this.queue.length >= window.numFrames) {
      const { destination, layer, phase } = frame.header;
      const message =
        `rank ${destination} doesn't take what it is sent: ${queuedBytes} bytes in ${this.queue.length + 1} frames wait here ` +
        `beyond its window, ${window.numBytes} bytes and ${window.numFrames} frames allowed; ` +
        `let it catch up (barrier) or look at the log of rank ${destination}`;
      throw new CommError('LIMIT', message, { rank: destination, layer, phase, isItsDoing: true });
    }
    this.queuedBytes = queuedBytes;
    this.queue.push(frame);
  }

  private receive(data: RawData, isBinary: boolean): void {
    try {
      if (!isBinary) throw new CommError('PROTOCOL', 'a text message on a data link; run the same build on every rank');
      this.obey(decodeLinkControl(data as Buffer));
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      this.options.onEnd(error.message, error.code);
    }
  }

  private obey(message: LinkControl): void {
    if (this.isPeerReady !== (message.kind === 'credit')) {
      throw new CommError('PROTOCOL', `'${message.kind}' out of turn; run the same build on every rank`);
    }
    if (message.kind === 'credit') {
      this.out.returned(message);
      this.drain();
    } else {
      checkWindow(message, this.options.window);
      this.isPeerReady = true;
      this.options.onReady();
    }
  }

  private drain(): void {
    let numSent = 0;
    for (const frame of this.queue) {
      const frameBytes = FRAME_HEADER_BYTES + frame.header.payloadBytes;
      if (!this.out.canSend(frameBytes)) break;
      this.write(frame);
      this.queuedBytes -= frameBytes;
      numSent++;
    }
    this.queue.splice(0, numSent);
    if (this.queue.length === 0) this.onDrained?.();
  }

  private write({ header, payload, onSent }: QueuedFrame): void {
    this.out.sent(FRAME_HEADER_BYTES + header.payloadBytes);
    this.writer.write(header, payload, onSent);
  }
}

function checkWindow(granted: Window, own: Window): void {
  if (granted.numBytes === own.numBytes && granted.numFrames === own.numFrames) return;
  const message =
    `it grants ${granted.numBytes} bytes in ${granted.numFrames} frames, this rank ${own.numBytes} in ${own.numFrames}; ` +
    'give every rank the same maxFrameBytes and microBatches';
  throw new CommError('PROTOCOL', message);
}
