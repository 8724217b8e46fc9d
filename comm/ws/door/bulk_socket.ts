/**
 * A client's socket whose bytes a reader of our own takes over after the WebSocket handshake.
 *
 * Until then ws does its work: over plain TCP, Node's `onread` gives every read to us and we push it into the stream
 * that ws listens to. From the takeover on ws only sends; what comes is read by the reader, large payloads straight into
 * their destination (the buffer of `onread` may change with each read). That needs nothing of ws but its documented
 * `createConnection`. The peer sends nothing between the end of the handshake and our `ready`, so no byte is lost between the two.
 */
import { connect, type Socket } from 'node:net';
import { CommError } from '../../base/errors.js';
import { FRAME_HEADER_BYTES } from '../../mesh/frame.js';
import { tlsConnect, type TlsOptions } from '../../base/tls.js';

/** What takes over a socket's bytes. @throws CommError, and nothing else, from each of its methods. */
export interface ByteReader {
  /** Takes the next bytes, in memory that is used again after the call. */
  feed(chunk: Uint8Array): void;
  /** Where the next bytes belong; undefined where they should come by `feed`. */
  space(): Uint8Array | undefined;
  /** So many bytes were put at the beginning of `space`. */
  filled(numBytes: number): void;
}

/** Where to connect, and with which certificates. Default: no TLS. */
export interface BulkSocketOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: TlsOptions | undefined;
}

/** Room for many small frames per read. */
const READ_BYTES = 256 * 1024;
/** The headers of a large message and of the frame in it: no payload comes with them that would have to be copied. */
const HEAD_BYTES = 10 + FRAME_HEADER_BYTES;

/** A connecting socket: for ws until `takeOver`, for the reader from then on. */
export class BulkSocket {
  readonly socket: Socket;
  private readonly isTls: boolean;
  private readonly shared = new Uint8Array(READ_BYTES);
  /** Large frames come one after another: behind one that was read in place, only the head of the next is read. */
  private readonly sharedHead = this.shared.subarray(0, HEAD_BYTES);
  private wasInPlace = false;
  private reader: ByteReader | undefined;
  private onError: (error: CommError) => void = () => undefined;

  constructor({ host, port, tls }: BulkSocketOptions) {
    this.isTls = tls !== undefined;
    if (tls !== undefined) this.socket = tlsConnect(host, port, tls);
    else {
      const buffer = (): Uint8Array => this.reader?.space() ?? (this.wasInPlace ? this.sharedHead : this.shared);
      const callback = (numBytes: number, into: Uint8Array): boolean => this.onRead(numBytes, into);
      this.socket = connect({ host, port, onread: { buffer, callback } });
    }
    this.socket.on('error', () => undefined); // ws tells of it, and 'close' follows
  }

  /** All bytes from now on go to `reader`; its first error to `onError`, and then nothing more is read. */
  takeOver(reader: ByteReader, onError: (error: CommError) => void): void {
    this.reader = reader;
    this.onError = onError;
    if (!this.isTls) return;
    // A TLS socket has no `onread`. Only ws listens to its data.
    this.socket.removeAllListeners('data');
    this.socket.on('data', (chunk: Buffer) => this.guarded(() => reader.feed(chunk)));
  }

  private onRead(numBytes: number, into: Uint8Array): boolean {
    const reader = this.reader;
    if (reader === undefined) this.socket.push(Uint8Array.from(into.subarray(0, numBytes)));
    else {
      this.wasInPlace = into.buffer !== this.shared.buffer;
      this.guarded(() => (this.wasInPlace ? reader.filled(numBytes) : reader.feed(into.subarray(0, numBytes))));
    }
    return true;
  }

  private guarded(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      this.onError(error);
    }
  }
}
