/** The connection that this rank dialed: the peer's frames come in, credit goes out. */
import type { WebSocket } from 'ws';
import type { BulkSocket } from '../door/bulk_socket.js';
import { CreditAccount, type Window } from '../../mesh/credit.js';
import type { CommError } from '../../base/errors.js';
import { FRAME_HEADER_BYTES } from '../../mesh/frame.js';
import { FrameAssembler } from './frame_assembler.js';
import { encodeLinkControl, type LinkControl } from './link_control.js';
import type { ArrivingFrame } from '../../mesh/mesh.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import { WsReader } from './ws_reader.js';

/** What a connection may bring, and who is told of frames and of its end. */
export interface InboundOptions {
  readonly window: Window;
  readonly maxFrameBytes: number;
  readonly memory: PayloadMemory;
  /** A frame came, `copiedBytes` of its payload were copied. @throws CommError, which ends the reading. */
  onFrame(frame: ArrivingFrame, copiedBytes: number): void;
  /** Called for every way in which the connection ends or must end. */
  onEnd(why: string, code: CommError['code']): void;
}

/** Reads frames, returns credit for those that were taken, and answers pings. */
export class InboundLink {
  private readonly account: CreditAccount;
  private isAnswering = false;

  /** Takes an authenticated connection over, in the turn in which its handshake ended, and tells the peer so. */
  constructor(
    private readonly ws: WebSocket,
    private readonly bulk: BulkSocket,
    options: InboundOptions,
  ) {
    const { window, maxFrameBytes, memory } = options;
    this.account = new CreditAccount(window, maxFrameBytes);
    const sink = new FrameAssembler({
      maxFrameBytes,
      memory,
      onFrame: (frame, copiedBytes) => {
        this.account.received(FRAME_HEADER_BYTES + frame.payload.byteLength);
        options.onFrame(frame, copiedBytes);
        this.returnCredit();
      },
    });
    const reader = new WsReader({
      ...{ maxMessageBytes: maxFrameBytes, sink },
      onPing: (payload) => this.answerPing(payload),
      onClose: (code) => {
        this.answerClose();
        options.onEnd(`it closed its connection (${code})`, 'PEER_LOST');
      },
    });
    bulk.takeOver(reader, (error) => options.onEnd(error.message, error.code));
    ws.on('message', () => options.onEnd('it sent a message before this rank was ready', 'PROTOCOL'));
    ws.on('error', (error) => options.onEnd(error.message, 'PEER_LOST'));
    ws.on('close', (code) => options.onEnd(`its connection closed (${code})`, 'PEER_LOST'));
    this.send({ kind: 'ready', ...window });
  }

  /** A frame that came was taken or dropped. */
  released(frameBytes: number): void {
    this.account.released(frameBytes);
    this.returnCredit();
  }

  /** Ends the connection at once, without a goodbye. */
  terminate(): void {
    this.ws.terminate();
  }

  get isClosed(): boolean {
    return this.ws.readyState === this.ws.CLOSED;
  }

  /** Calls `done` when the connection has closed; not for one that is closed already. */
  onceClosed(done: () => void): void {
    this.ws.once('close', done);
  }

  private returnCredit(): void {
    const credit = this.account.due();
    if (credit !== undefined) this.send({ kind: 'credit', ...credit });
  }

  private send(message: LinkControl): void {
    if (this.ws.readyState === this.ws.OPEN) this.ws.send(encodeLinkControl(message));
  }

  /** One pong at a time waits for the socket, however many pings come; RFC 6455 wants no more. */
  private answerPing(payload: Uint8Array): void {
    if (this.isAnswering) return;
    this.isAnswering = true;
    this.ws.pong(payload, true, () => (this.isAnswering = false));
  }

  /** The answer that RFC 6455 wants, then the end: nothing follows a close. */
  private answerClose(): void {
    this.ws.close(1000);
    this.bulk.socket.destroySoon();
  }
}
