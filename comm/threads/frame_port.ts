/**
 * Frames through a port between two threads: memory that changes hands. The port's queue holds what a blocked thread hasn't looked at.
 * A large frame is posted as it lies, its header in the room before the payload. Small frames of one turn are copied behind each other and posted
 * as one: a message costs more than copying 16 KiB.
 */
import { CommError } from '../base/errors.js';
import { decodeHeader, FRAME_HEADER_BYTES, writeHeader, type FrameHeader } from '../mesh/frame.js';
import type { ArrivingFrame } from '../mesh/mesh.js';
import { joined, releaseOnce, type PayloadMemory } from '../mesh/payload_pool.js';
import { atTurnEnd } from '../base/turn_end.js';

/** Larger payloads are posted by themselves, and at once. */
const MAX_GATHERED_BYTES = 16 * 1024;
const BATCH_BYTES = 128 * 1024;

/** What is posted: one frame in memory of its own, or small ones behind each other in the first `numBytes` of a buffer. */
export type FrameMessage = ArrayBuffer | { readonly batch: ArrayBuffer; readonly numBytes: number };

/** Where messages go: a message port, a worker. */
interface Posting {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
}

/** The sending end of one port; `Other`: messages that aren't frames. */
export class FramePort<Other = never> {
  private batch: Uint8Array<ArrayBuffer> | undefined;
  private numBytes = 0;
  private readonly flushLater = atTurnEnd(() => this.flush());

  constructor(
    private readonly port: Posting,
    private readonly memory: PayloadMemory,
  ) {}

  /** Posts a copy of the payload; the caller may change its own at once. Small frames are posted when this turn ends. */
  send(header: FrameHeader, payload: readonly Uint8Array[]): void {
    if (header.payloadBytes > MAX_GATHERED_BYTES) this.give(header, joined(payload, header.payloadBytes, this.memory));
    else this.gather(header, payload);
  }

  /** The same of a payload that the memory gave: nobody here can use it any more. */
  give(header: FrameHeader, payload: Uint8Array<ArrayBuffer>): void {
    if (header.payloadBytes <= MAX_GATHERED_BYTES) {
      this.gather(header, [payload]);
      this.memory.release(payload);
      return;
    }
    const { buffer } = payload;
    writeHeader(header, new DataView(buffer), 0);
    this.flush();
    this.port.postMessage(buffer satisfies FrameMessage, [buffer]);
  }

  /** Posts something that is no frame, behind those that were sent. */
  post(message: Other): void {
    this.flush();
    this.port.postMessage(message);
  }

  /** Posts what was gathered. */
  flush(): void {
    if (this.numBytes === 0) return;
    // Few bytes leave alone: what waits in a port holds twice their number at most.
    const isFew = 2 * this.numBytes < BATCH_BYTES;
    const batch = isFew ? this.batch!.buffer.slice(0, this.numBytes) : this.batch!.buffer;
    if (!isFew) this.batch = undefined;
    this.port.postMessage({ batch, numBytes: this.numBytes } satisfies FrameMessage, [batch]);
    this.numBytes = 0;
  }

  private gather(header: FrameHeader, payload: readonly Uint8Array[]): void {
    if (this.numBytes + FRAME_HEADER_BYTES + header.payloadBytes > BATCH_BYTES) this.flush();
    const batch = (this.batch ??= new Uint8Array(BATCH_BYTES));
    writeHeader(header, new DataView(batch.buffer), this.numBytes);
    let at = this.numBytes + FRAME_HEADER_BYTES;
    for (const part of payload) {
      batch.set(part, at);
      at += part.byteLength;
    }
    this.numBytes = at;
    this.flushLater();
  }
}

/** Whether a port's message has frames. */
export function isFrameMessage(message: unknown): message is FrameMessage {
  return message instanceof ArrayBuffer || (typeof message === 'object' && message !== null && 'batch' in message);
}

/** The frames that were posted; released, their memory serves the next payloads of this thread. @throws CommError PROTOCOL or VERSION_MISMATCH. */
export function* framesOf(message: FrameMessage, memory: PayloadMemory): Generator<ArrivingFrame> {
  if (message instanceof ArrayBuffer) {
    const header = decodeHeader(new Uint8Array(message));
    checkLength(header, message.byteLength);
    const payload = new Uint8Array(message, FRAME_HEADER_BYTES, header.payloadBytes);
    yield { header, payload, release: releaseOnce(memory, payload) };
    return;
  }
  let bytes = new Uint8Array(message.batch, 0, message.numBytes);
  while (bytes.byteLength > 0) {
    const header = decodeHeader(bytes);
    checkLength(header, bytes.byteLength);
    const end = FRAME_HEADER_BYTES + header.payloadBytes;
    const payload = joined([bytes.subarray(FRAME_HEADER_BYTES, end)], header.payloadBytes, memory);
    yield { header, payload, release: releaseOnce(memory, payload) };
    bytes = bytes.subarray(end);
  }
}

function checkLength({ source, layer, phase, payloadBytes }: FrameHeader, numBytes: number): void {
  if (FRAME_HEADER_BYTES + payloadBytes <= numBytes) return;
  const message = `rank ${source} announced ${payloadBytes} payload bytes and sent ${numBytes - FRAME_HEADER_BYTES}`;
  throw new CommError('PROTOCOL', `${message}; run the same build on every rank`, { rank: source, layer, phase });
}
