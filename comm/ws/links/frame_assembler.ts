/** Makes frames of a message's bytes: the header is gathered, then the payload gets memory of its own, once and checked. */
import { CommError } from '../../base/errors.js';
import { decodeHeader, FRAME_HEADER_BYTES, type FrameHeader } from '../../mesh/frame.js';
import type { ArrivingFrame } from '../../mesh/mesh.js';
import { releaseOnce, type PayloadMemory } from '../../mesh/payload_pool.js';
import type { MessageSink } from './ws_reader.js';

/** The largest frame, header included, where payloads get their memory, and who gets the frames. */
export interface FrameAssemblerOptions {
  readonly maxFrameBytes: number;
  readonly memory: PayloadMemory;
  /** A whole frame; so many bytes of its payload had to be copied to their place. @throws CommError, which ends the reading. */
  onFrame(frame: ArrivingFrame, copiedBytes: number): void;
}

const NO_BYTES = new Uint8Array(new ArrayBuffer(0));

/** The sink of one link's reader: one frame per message, checked before its payload gets memory. */
export class FrameAssembler implements MessageSink {
  private readonly head = new Uint8Array(FRAME_HEADER_BYTES);
  private header: FrameHeader | undefined;
  private payload: Uint8Array<ArrayBuffer> = NO_BYTES;
  /** Of the present message: bytes that came, that were announced by its fragments, and that were copied. */
  private numBytes = 0;
  private announcedBytes = 0;
  private copiedBytes = 0;
  private isLast = false;

  constructor(private readonly options: FrameAssemblerOptions) {}

  /** A fragment follows. @throws CommError PROTOCOL or LIMIT when the message can't be the frame that its header announced. */
  begin(numBytes: number, isLast: boolean): void {
    this.announcedBytes += numBytes;
    this.isLast = isLast;
    if (this.header !== undefined) this.checkLength(this.header);
  }

  /** Copies bytes to the header or the payload. @throws CommError PROTOCOL, VERSION_MISMATCH or LIMIT when the header that they complete can't be. */
  write(bytes: Uint8Array): void {
    const rest = this.header === undefined ? this.readHead(bytes) : bytes;
    if (rest.byteLength === 0) return;
    this.payload.set(rest, this.numBytes - FRAME_HEADER_BYTES);
    this.numBytes += rest.byteLength;
    this.copiedBytes += rest.byteLength;
  }

  /** The rest of the payload; undefined until the header is whole. */
  space(): Uint8Array | undefined {
    return this.header === undefined ? undefined : this.payload.subarray(this.numBytes - FRAME_HEADER_BYTES);
  }

  /** So many bytes of the payload were put in their place. */
  filled(numBytes: number): void {
    this.numBytes += numBytes;
  }

  /** Hands the frame over. @throws CommError PROTOCOL when the message was too short for a header, or what `onFrame` throws. */
  end(): void {
    // Only a message that is too short for a header has none, and decoding says so.
    const header = this.header ?? decodeHeader(this.head.subarray(0, this.numBytes));
    const [payload, copiedBytes] = [this.payload, this.copiedBytes];
    this.header = undefined;
    this.payload = NO_BYTES;
    this.numBytes = this.announcedBytes = this.copiedBytes = 0;
    const release = releaseOnce(this.options.memory, payload);
    this.options.onFrame({ header, payload, release }, copiedBytes);
  }

  /** What follows the header in these bytes. */
  private readHead(bytes: Uint8Array): Uint8Array {
    const part = bytes.subarray(0, FRAME_HEADER_BYTES - this.numBytes);
    this.head.set(part, this.numBytes);
    this.numBytes += part.byteLength;
    if (this.numBytes === FRAME_HEADER_BYTES) {
      const header = decodeHeader(this.head);
      this.checkLength(header);
      this.header = header;
      if (header.payloadBytes > 0) this.payload = this.options.memory.allocate(header.payloadBytes);
    }
    return bytes.subarray(part.byteLength);
  }

  /** Before the payload gets memory. */
  private checkLength({ source, layer, phase, payloadBytes }: FrameHeader): void {
    const where = { rank: source, layer, phase };
    const [frameBytes, announced] = [FRAME_HEADER_BYTES + payloadBytes, this.announcedBytes];
    const { maxFrameBytes } = this.options;
    if (frameBytes > maxFrameBytes) {
      const what = `rank ${source} announced a frame of ${frameBytes} bytes, ${maxFrameBytes} allowed`;
      throw new CommError('LIMIT', `${what}; give every rank the same maxFrameBytes`, { ...where, isItsDoing: true });
    }
    if (this.isLast ? announced === frameBytes : announced <= frameBytes) return;
    const what = `rank ${source} announced ${payloadBytes} payload bytes and sent ${announced - FRAME_HEADER_BYTES}`;
    throw new CommError('PROTOCOL', `${what}; run the same build on every rank`, where);
  }
}
