/** The source's end of a link for keys and values over a WebSocket. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import { Deadline } from '../base/deadline.js';
import { CommError } from '../base/errors.js';
import { blockFrames } from './block_frames.js';
import { encodeKvFrame } from './kv_frames.js';
import type { KvBlocksReader, KvBlocksWish, KvReader, KvWish } from './kv_link.js';
import { decodeAsked, encodeFailure, type KvAsked } from './kv_messages.js';

/** How long who proved a lease may take to say what it wants. */
const WISH_MS = 30_000;
/** So much may lie in the socket: the target takes it when it can. */
const MAX_BUFFERED_BYTES = 1024 * 1024;
const KEEP_ALIVE_MS = 10_000;

/** One who proved a lease, from the turn on in which its handshake ended. */
export class WsKvReader {
  private readonly ended = new AbortController();
  private hasAsked = false;

  /** `onAsked`: it told what it wants, once. */
  constructor(
    private readonly ws: WebSocket,
    socket: Socket,
    private readonly onAsked: (asked: KvAsked) => void,
  ) {
    // A machine that vanished sends no FIN.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const late = new CommError('TIMEOUT', `no wish within ${WISH_MS} ms; ask again`);
    const deadline = new Deadline(WISH_MS, () => this.end(late));
    ws.on('error', () => this.ws.terminate());
    ws.on('close', () => {
      deadline.cancel();
      this.ended.abort();
    });
    ws.on('message', (data, isBinary) => {
      deadline.cancel();
      this.hear(data as Buffer, isBinary);
    });
  }

  /** Aborted when the link has ended. */
  get gone(): AbortSignal {
    return this.ended.signal;
  }

  /** As one that wants rows. */
  ofRows(wish: KvWish): KvReader {
    return { wish, ...this.face, send: (rows) => this.send(encodeKvFrame(rows, wish)) };
  }

  /** As one that wants blocks. */
  ofBlocks(wish: KvBlocksWish): KvBlocksReader {
    return {
      ...{ wish, ...this.face },
      send: async (block) => {
        for (const frame of blockFrames(block)) await this.send(frame);
      },
    };
  }

  private get face(): Pick<KvReader, 'gone' | 'end'> {
    return { gone: this.gone, end: (error) => this.end(error) };
  }

  /** Waits while the target takes less than comes. */
  private send(frame: Uint8Array): Promise<void> {
    if (this.gone.aborted || this.ws.readyState !== this.ws.OPEN) return Promise.resolve();
    return new Promise((resolve) => {
      const isFull = this.ws.bufferedAmount > MAX_BUFFERED_BYTES;
      // Called when it has left for the socket, and when the link has ended.
      this.ws.send(frame, () => {
        if (isFull) resolve();
      });
      if (!isFull) resolve();
    });
  }

  /** Says why there is no more, behind what was sent before. */
  end(error: unknown): void {
    if (this.ws.readyState !== this.ws.OPEN) return;
    this.ws.send(encodeFailure(error));
    this.ws.close(1011);
  }

  private hear(message: Uint8Array, isBinary: boolean): void {
    let asked: KvAsked;
    try {
      if (this.hasAsked) throw new CommError('PROTOCOL', 'two wishes on one link; open a link for each');
      asked = decodeAsked(message, isBinary);
    } catch (error) {
      this.end(error);
      return;
    }
    this.hasAsked = true;
    this.onAsked(asked);
  }
}
