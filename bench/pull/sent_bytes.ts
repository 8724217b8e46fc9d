/** Bytes of a file as an answer over HTTP, whole or a range of them, and what may go wrong with them. */
import type { IncomingMessage, ServerResponse } from 'node:http';

/** What goes wrong with the bytes of an answer. */
export interface BytesFault {
  /** The connection is cut when so many are sent. */
  readonly cutAfter?: number;
  /** The first one sent is another. */
  readonly isWrong?: boolean;
  /** So many too many are sent. */
  readonly surplus?: number;
  /** They are sent as a whole, whatever range was asked for. */
  readonly ignoresRange?: boolean;
  /** After so many, nothing more comes. */
  readonly stallAfter?: number;
}

/** Sent at a time. */
const PIECE_BYTES = 2 ** 20;

/** Answers GET and HEAD with `bytes`, or with the range that was asked for. */
export async function sendBytes(
  { method, headers: { range } }: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  fault: BytesFault = {},
): Promise<void> {
  const asked = fault.ignoresRange === true ? null : /^bytes=(\d+)-(\d*)$/.exec(range ?? '');
  const begin = Number(asked?.[1] ?? 0);
  const end = Math.min(bytes.length, asked?.[2] === undefined || asked[2] === '' ? Infinity : Number(asked[2]) + 1);
  response.setHeader('Accept-Ranges', 'bytes');
  if (asked !== null && begin >= end) {
    response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}` }).end();
    return;
  }
  if (asked !== null) response.setHeader('Content-Range', `bytes ${begin}-${end - 1}/${bytes.length}`);
  const surplus = new Uint8Array(fault.surplus ?? 0);
  response.setHeader('Content-Length', end - begin + surplus.length);
  response.writeHead(asked === null ? 200 : 206);
  if (method === 'HEAD') return void response.end();
  const sent = fault.isWrong === true ? withFirstChanged(bytes.subarray(begin, end)) : bytes.subarray(begin, end);
  const limit = Math.min(sent.length, fault.cutAfter ?? Infinity, fault.stallAfter ?? Infinity);
  for (let from = 0; from < limit; from += PIECE_BYTES) {
    const isTaken = response.write(sent.subarray(from, Math.min(limit, from + PIECE_BYTES)));
    if (!isTaken) await drained(response);
    if (response.destroyed) return;
  }
  if (fault.cutAfter !== undefined) response.destroy();
  else if (fault.stallAfter === undefined) response.end(surplus);
}

function withFirstChanged(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes); // a Buffer's slice would be the same memory
  copy[0]! ^= 1;
  return copy;
}

/** There is room again, or whoever asked went away. */
const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
