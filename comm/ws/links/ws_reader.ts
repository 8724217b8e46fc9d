/**
 * The receiving end of a WebSocket client (RFC 6455 §5) without I/O: bytes go in, cut anywhere; messages come out.
 * A message's bytes can be read from the socket straight into their destination: see `space` and `filled`.
 */
import { CommError } from '../../base/errors.js';

/** Where the bytes of binary messages go. @throws CommError, which ends the reading, from all but `space`. */
export interface MessageSink {
  /** A fragment of `numBytes` follows; `isLast`: the message ends with it. Nothing needs to be allocated before. */
  begin(numBytes: number, isLast: boolean): void;
  /** The next bytes of the message, in memory that is used again after the call. */
  write(bytes: Uint8Array): void;
  /** Where the next bytes of the message belong, as far as they are in one piece. */
  space(): Uint8Array | undefined;
  /** So many bytes were put at the beginning of `space`. */
  filled(numBytes: number): void;
  /** The message is whole. */
  end(): void;
}

/** What a stream may bring, and who gets it. Calls happen inside `feed` and `filled`. */
export interface WsReaderOptions {
  /** Largest message; a longer one is refused before anything is allocated for it. */
  readonly maxMessageBytes: number;
  readonly sink: MessageSink;
  /** The peer wants a pong with these bytes, which are a copy. */
  onPing(payload: Uint8Array): void;
  /** The peer ends the connection, with a status code or 1005 for none. Later bytes are ignored. */
  onClose(code: number): void;
}

/** Fewer bytes than this are not worth a read of their own. */
const MIN_SPACE_BYTES = 16 * 1024;
const MAX_CONTROL_BYTES = 125;
const [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] = [0, 1, 2, 8, 9, 10];
const NO_STATUS = 1005;

/** Reads one stream, from the first byte behind the handshake; what an error or a close ended stays ended. */
export class WsReader {
  /** A fragment's header, of 2 to 10 bytes, as far as it came. */
  private readonly header = Buffer.alloc(10);
  private headerBytes = 0;
  private headerSize = 2;
  /** Of the present fragment. */
  private opcode = CONTINUATION;
  private isLast = true;
  private bytesLeft = 0;
  /** Some of the fragment was read in place, so its end is too. */
  private isInPlace = false;
  /** A message has begun and not ended. */
  private isInMessage = false;
  private messageBytes = 0;
  private readonly control = Buffer.alloc(MAX_CONTROL_BYTES);
  private controlBytes = 0;
  private isOver = false;

  constructor(private readonly options: WsReaderOptions) {}

  /** Takes the next bytes of the stream. @throws CommError PROTOCOL, LIMIT or what the sink throws; then nothing more is read. */
  feed(chunk: Uint8Array): void {
    this.guarded(() => {
      let at = 0;
      while (at < chunk.byteLength && !this.isOver) {
        at += this.bytesLeft > 0 ? this.readPayload(chunk, at) : this.readHeader(chunk, at);
      }
    });
  }

  /** Where the next bytes of the stream belong, when that is known and worth a read of its own. */
  space(): Uint8Array | undefined {
    if (this.isOver || !(this.isInPlace || this.bytesLeft >= MIN_SPACE_BYTES)) return undefined;
    return this.options.sink.space()?.subarray(0, this.bytesLeft);
  }

  /** So many of the stream's bytes were put at the beginning of `space`. @throws CommError as `feed`. */
  filled(numBytes: number): void {
    this.guarded(() => {
      this.options.sink.filled(numBytes);
      this.isInPlace = true;
      this.bytesLeft -= numBytes;
      if (this.bytesLeft === 0) this.endFragment();
    });
  }

  private guarded(read: () => void): void {
    if (this.isOver) return;
    try {
      read();
    } catch (error) {
      this.isOver = true;
      throw error;
    }
  }

  /** Both return how many bytes they took. */
  private readHeader(chunk: Uint8Array, from: number): number {
    let at = from;
    while (at < chunk.byteLength) {
      this.header[this.headerBytes] = chunk[at]!;
      this.headerBytes++;
      at++;
      if (this.headerBytes === 2) this.headerSize = sizeOf(this.header);
      if (this.headerBytes < this.headerSize) continue;
      this.headerBytes = 0;
      this.beginFragment(lengthIn(this.header, this.headerSize));
      this.headerSize = 2;
      break;
    }
    return at - from;
  }

  private readPayload(chunk: Uint8Array, at: number): number {
    const bytes = chunk.subarray(at, at + this.bytesLeft);
    if (isControl(this.opcode)) {
      this.control.set(bytes, this.controlBytes);
      this.controlBytes += bytes.byteLength;
    } else this.options.sink.write(bytes);
    this.bytesLeft -= bytes.byteLength;
    if (this.bytesLeft === 0) this.endFragment();
    return bytes.byteLength;
  }

  private beginFragment(numBytes: number): void {
    this.opcode = this.header[0]! & 0x0f;
    this.isLast = (this.header[0]! & 0x80) !== 0;
    if (isControl(this.opcode)) {
      if (!this.isLast) throw refusal('a control frame in fragments');
      if (numBytes > MAX_CONTROL_BYTES)
        throw refusal(`a control frame of ${numBytes} bytes, ${MAX_CONTROL_BYTES} allowed`);
      this.controlBytes = 0;
    } else this.beginData(numBytes);
    this.bytesLeft = numBytes;
    if (numBytes === 0) this.endFragment();
  }

  private beginData(numBytes: number): void {
    if ((this.opcode === CONTINUATION) !== this.isInMessage) {
      throw refusal(this.isInMessage ? 'a new message inside another' : 'a continuation without a beginning');
    }
    if (!this.isInMessage) this.messageBytes = 0;
    this.isInMessage = true;
    this.messageBytes += numBytes;
    const { maxMessageBytes, sink } = this.options;
    if (this.messageBytes > maxMessageBytes) {
      const what = `a message of ${this.messageBytes} bytes or more, ${maxMessageBytes} allowed`;
      throw new CommError('LIMIT', `received ${what}; give every rank the same maxFrameBytes`);
    }
    sink.begin(numBytes, this.isLast);
  }

  private endFragment(): void {
    this.isInPlace = false;
    if (isControl(this.opcode)) this.endControl();
    else if (this.isLast) {
      this.isInMessage = false;
      this.options.sink.end();
    }
  }

  private endControl(): void {
    if (this.opcode === PING) this.options.onPing(Uint8Array.from(this.control.subarray(0, this.controlBytes)));
    if (this.opcode !== CLOSE) return;
    if (this.controlBytes === 1) throw refusal('half a status code');
    this.isOver = true;
    this.options.onClose(this.controlBytes === 0 ? NO_STATUS : this.control.readUInt16BE(0));
  }
}

const isControl = (opcode: number): boolean => opcode >= CLOSE;

/** The size of the whole header, which its first two bytes tell. */
function sizeOf(header: Buffer): number {
  const [first, second] = [header[0]!, header[1]!];
  const opcode = first & 0x0f;
  if ((first & 0x70) !== 0) throw refusal('reserved bits, which no extension was agreed for');
  if (opcode === TEXT) throw refusal('a text message on a data link');
  if (![CONTINUATION, BINARY, CLOSE, PING, PONG].includes(opcode)) throw refusal(`unknown opcode ${opcode}`);
  if ((second & 0x80) !== 0) throw refusal('a masked frame from a server');
  if (second < 126) return 2;
  return second === 126 ? 4 : 10;
}

/** The payload's length; only its shortest form is legal. */
function lengthIn(header: Buffer, size: number): number {
  if (size === 2) return header[1]!;
  const length = size === 4 ? header.readUInt16BE(2) : header.readUInt32BE(2) * 0x1_0000_0000 + header.readUInt32BE(6);
  if (length < (size === 4 ? 126 : 0x1_0000)) throw refusal(`a length of ${length} in ${size - 2} bytes`);
  return length;
}

function refusal(what: string): CommError {
  return new CommError('PROTOCOL', `received ${what}; is something else talking to this port?`);
}
