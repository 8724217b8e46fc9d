/** One authenticated WebSocket that carries frames to and from one peer. */
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import { CommError } from './errors.js';
import { decodeHeader, encodeHeader, FRAME_HEADER_BYTES, type FrameHeader } from './frame.js';
import type { Frame } from './mesh.js';

export interface LinkEvents {
  /** A frame came; returns why the link must be cut, if it must. `copied`: its payload had to be copied. */
  onFrame(frame: Omit<Frame, 'arrivedMs'>, copied: boolean): CommError | undefined;
  /** Called once: nothing more comes. */
  onLost(why: string, code: CommError['code']): void;
}

const CLOSE_GRACE_MS = 500;

export class Link {
  readonly #ws: WebSocket;
  readonly #socket: Socket;
  readonly #events: LinkEvents;
  #isLost = false;

  constructor(ws: WebSocket, socket: Socket, events: LinkEvents) {
    [this.#ws, this.#socket, this.#events] = [ws, socket, events];
    ws.binaryType = 'fragments';
    ws.on('message', (data, isBinary) => this.#receive(data, isBinary));
    ws.on('error', (error) => this.cut(error.message));
    ws.on('close', (code) => this.#lose(`its connection closed (${code})`, 'PEER_LOST'));
  }

  /** Queues header and payload as the fragments of one message, which leave in one write where they fit. */
  send(header: FrameHeader, payload: readonly Uint8Array[]): void {
    const head = encodeHeader(header);
    const parts = payload.filter((part) => part.byteLength > 0);
    const onSent = (error?: Error | null): void => {
      if (error) this.cut(error.message);
    };
    this.#socket.cork();
    this.#ws.send(head, { binary: true, fin: parts.length === 0 }, onSent);
    for (const [i, part] of parts.entries()) {
      this.#ws.send(part, { binary: true, fin: i === parts.length - 1 }, onSent);
    }
    this.#socket.uncork();
  }

  /** Ends the link at once and tells why. */
  cut(why: string, code: CommError['code'] = 'PEER_LOST'): void {
    this.#lose(why, code);
    this.#ws.terminate();
  }

  /** Ends the link after what was sent left, or after a short grace. */
  close(): Promise<void> {
    this.#isLost = true;
    if (this.#ws.readyState === this.#ws.CLOSED) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#ws.terminate(), CLOSE_GRACE_MS);
      this.#ws.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      this.#ws.close(1000);
    });
  }

  #receive(data: RawData, isBinary: boolean): void {
    if (this.#isLost) return;
    try {
      if (!isBinary) throw new CommError('PROTOCOL', 'a text message on a data link; run the same build on every rank');
      const { header, payload, copied } = splitMessage(data as Buffer[]);
      const refused = this.#events.onFrame({ header: decodeHeader(header), payload }, copied);
      if (refused !== undefined) throw refused;
    } catch (error) {
      if (!(error instanceof CommError)) throw error;
      this.cut(error.message, error.code);
    }
  }

  #lose(why: string, code: CommError['code']): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.#events.onLost(why, code);
  }
}

/** Header and payload of a message; the payload 4-byte aligned and in one piece, by a copy only where it isn't. */
export function splitMessage(fragments: readonly Uint8Array[]): {
  header: Uint8Array;
  payload: Uint8Array;
  copied: boolean;
} {
  const [header = new Uint8Array(0), ...rest] = fragments;
  // A proxy may cut a message elsewhere than the sender did.
  if (header.byteLength !== FRAME_HEADER_BYTES) return splitJoined(join(fragments));
  const only = rest.length === 1 ? rest[0] : undefined;
  if (rest.length === 0) return { header, payload: new Uint8Array(0), copied: false };
  if (only !== undefined && only.byteOffset % 4 === 0) return { header, payload: only, copied: false };
  return { header, payload: join(rest), copied: true };
}

function splitJoined(all: Uint8Array): { header: Uint8Array; payload: Uint8Array; copied: boolean } {
  // The header is a multiple of 4 long, so the payload behind it is aligned.
  return { header: all.subarray(0, FRAME_HEADER_BYTES), payload: all.subarray(FRAME_HEADER_BYTES), copied: true };
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
