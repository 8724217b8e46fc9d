/**
 * The sending end of a WebSocket server for frames as binary messages (RFC 6455 §5): unmasked, and unfragmented but for payloads that are made while they
 * leave, whose pieces are fragments, so that ws can answer a ping between them. Other large payloads leave from where they are. Small frames of one turn are copied behind each other and leave in one write: a write of its own costs
 * more than copying 16 KiB.
 * Why: docs/decisions/exchange.md#small-frames-are-gathered
 */
import type { Socket } from 'node:net';
import { encodeHeader, FRAME_HEADER_BYTES, writeHeader, type FrameHeader } from '../../mesh/frame.js';
import type { PayloadMemory } from '../../mesh/payload_pool.js';
import type { PayloadStream } from '../../mesh/payload_stream.js';
import { atTurnEnd } from '../../base/turn_end.js';

const [CONTINUATION, BINARY, FIN] = [0, 2, 0x80];
const [LENGTH_16, LENGTH_64] = [126, 127];
/** Of a message and of the frame in it. */
const MAX_HEAD_BYTES = 10 + FRAME_HEADER_BYTES;

/** Where a piece of a payload begins in its staging memory: behind its head, and as rows are aligned, since V8 copies out of shared memory byte by byte otherwise. */
const PIECE_AT = 64;

/** Larger payloads aren't copied, and leave at once. */
const MAX_COPIED_BYTES = 16 * 1024;
const STAGING_BYTES = 128 * 1024;
/** Staging memory that has left and waits to be used again. */
const MAX_SPARE = 4;

/** Node passes null where its types promise undefined. */
const isError = (error: Error | null | undefined): boolean => error !== undefined && error !== null;

interface Staging {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
}

/** A payload that is leaving. */
interface Streamed {
  readonly payload: PayloadStream;
  readonly memory: PayloadMemory;
  /** The frame's header, until it has left. */
  head: Uint8Array;
  bytesLeft: number;
}

const NO_BYTES = new Uint8Array(0);

/** Writes to one socket. Nobody else may write data to it, except ws its control messages, which are whole frames. */
export class WsWriter {
  private readonly spare: Staging[] = [];
  private staging: Staging | undefined;
  private numStaged = 0;
  private readonly flushLater = atTurnEnd(() => this.flush());
  private streamed: Streamed | undefined;
  private writes = 0;

  constructor(private readonly socket: Pick<Socket, 'write' | 'cork' | 'uncork' | 'writableLength'>) {}

  /** Parts that were handed to the socket so far. */
  get numWrites(): number {
    return this.writes;
  }

  /** Bytes that were written, or are to be, and that the system hasn't taken. */
  get unsentBytes(): number {
    return this.socket.writableLength + (this.streamed?.bytesLeft ?? 0);
  }

  /**
   * Writes one frame; small ones leave when this turn ends. `onSent` is called when the payload isn't used any more; perhaps never where the socket fails.
   * @throws CommError INVALID_ARGUMENT for a header that can't be encoded
   */
  write(header: FrameHeader, payload: readonly Uint8Array[], onSent?: () => void): void {
    this.finish();
    if (header.payloadBytes <= MAX_COPIED_BYTES) {
      this.stage(header, payload);
      onSent?.();
      return;
    }
    const head = headOf(header);
    const parts = payload.filter(({ byteLength }) => byteLength > 0);
    this.socket.cork();
    this.flush();
    this.put(head);
    const last = parts.pop()!;
    for (const part of parts) this.put(part);
    this.put(last, (error) => {
      if (!isError(error)) onSent?.();
    });
    this.socket.uncork();
  }

  /**
   * Writes one large frame whose payload is made while it leaves: a piece when the socket has taken the one before. Returns what has the rest made now, in
   * `memory`; so does whatever is written next.
   */
  stream(header: FrameHeader, payload: PayloadStream, memory: PayloadMemory): () => void {
    const head = encodeHeader(header);
    this.finish();
    this.flush();
    const streamed = { payload, memory, head, bytesLeft: payload.numBytes };
    this.streamed = streamed;
    this.pump();
    return () => {
      if (this.streamed === streamed) this.finish();
    };
  }

  /** What is left of a payload that is made while it leaves, is made now. */
  finish(): void {
    const { streamed } = this;
    if (streamed === undefined) return;
    this.streamed = undefined;
    const rest = streamed.payload.rest();
    const head = new Uint8Array(MAX_HEAD_BYTES);
    const start = writeFragmentHead(streamed, rest.byteLength, head, MAX_HEAD_BYTES);
    this.socket.cork();
    this.put(head.subarray(start));
    this.put(rest, (error) => {
      if (!isError(error)) streamed.memory.release(rest);
    });
    this.socket.uncork();
  }

  private pump(): void {
    while (this.streamed !== undefined) {
      const { streamed } = this;
      const piece = this.spare.pop() ?? newStaging();
      const length = streamed.payload.next(piece.bytes.subarray(PIECE_AT));
      const start = writeFragmentHead(streamed, length, piece.bytes, PIECE_AT);
      if (streamed.bytesLeft === 0) this.streamed = undefined;
      if (!this.hasTaken(piece, start, PIECE_AT + length)) return;
      this.spare.push(piece);
    }
  }

  /** Whether the system took the piece at once; otherwise it goes on when it did. */
  private hasTaken(piece: Staging, start: number, end: number): boolean {
    let isAtOnce = false;
    this.put(piece.bytes.subarray(start, end), (error) => {
      if (isAtOnce || isError(error)) return;
      if (this.spare.length < MAX_SPARE) this.spare.push(piece);
      this.pump();
    });
    isAtOnce = this.socket.writableLength === 0;
    return isAtOnce;
  }

  private put(bytes: Uint8Array, onDone?: (error?: Error | null) => void): void {
    this.writes++;
    this.socket.write(bytes, onDone);
  }

  /** Lets go what was written. */
  flush(): void {
    if (this.numStaged === 0) return;
    const staging = this.staging!;
    const numStaged = this.numStaged;
    this.numStaged = 0;
    if (2 * numStaged < STAGING_BYTES) {
      // Little leaves alone, so that bytes on their way hold twice their number at most.
      this.put(staging.bytes.slice(0, numStaged));
      return;
    }
    this.staging = undefined;
    this.put(staging.bytes.subarray(0, numStaged), (error) => {
      if (!isError(error) && this.spare.length < MAX_SPARE) this.spare.push(staging);
    });
  }

  private stage(header: FrameHeader, payload: readonly Uint8Array[]): void {
    if (this.numStaged + MAX_HEAD_BYTES + header.payloadBytes > STAGING_BYTES) this.flush();
    const { bytes, view } = (this.staging ??= this.spare.pop() ?? newStaging());
    this.numStaged = writeHead(header, view, this.numStaged);
    for (const part of payload) {
      bytes.set(part, this.numStaged);
      this.numStaged += part.byteLength;
    }
    this.flushLater();
  }
}

function newStaging(): Staging {
  const buffer = new ArrayBuffer(STAGING_BYTES);
  return { bytes: new Uint8Array(buffer), view: new DataView(buffer) };
}

function headOf(header: FrameHeader): Uint8Array {
  const head = Buffer.allocUnsafe(MAX_HEAD_BYTES);
  return head.subarray(0, writeHead(header, new DataView(head.buffer, head.byteOffset, MAX_HEAD_BYTES), 0));
}

/** The header of a message with one frame, and the frame's; returns where its payload begins. */
function writeHead(header: FrameHeader, view: DataView, at: number): number {
  const size = writeMessageHead(FIN | BINARY, FRAME_HEADER_BYTES + header.payloadBytes, view, at);
  writeHeader(header, view, at + size);
  return at + size + FRAME_HEADER_BYTES;
}

/** Writes what comes before the next `length` bytes of a payload, so that it ends at `end`; returns where it begins. */
function writeFragmentHead(streamed: Streamed, length: number, bytes: Uint8Array<ArrayBuffer>, end: number): number {
  const { head } = streamed;
  const numBytes = head.byteLength + length;
  streamed.bytesLeft -= length;
  streamed.head = NO_BYTES;
  const opcode = head.byteLength === 0 ? CONTINUATION : BINARY;
  const at = end - head.byteLength - messageHeadBytes(numBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, end);
  writeMessageHead(opcode | (streamed.bytesLeft === 0 ? FIN : 0), numBytes, view, at);
  bytes.set(head, end - head.byteLength);
  return at;
}

function messageHeadBytes(numBytes: number): number {
  if (numBytes < LENGTH_16) return 2;
  return numBytes <= 0xffff ? 4 : 10;
}

/** Returns how many bytes it took. */
function writeMessageHead(opcode: number, numBytes: number, view: DataView, at: number): number {
  view.setUint8(at, opcode);
  if (numBytes < LENGTH_16) {
    view.setUint8(at + 1, numBytes);
    return 2;
  }
  if (numBytes <= 0xffff) {
    view.setUint8(at + 1, LENGTH_16);
    view.setUint16(at + 2, numBytes);
    return 4;
  }
  view.setUint8(at + 1, LENGTH_64);
  view.setBigUint64(at + 2, BigInt(numBytes));
  return 10;
}
