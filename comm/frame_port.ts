/**
 * Frames between two threads: each is copied once, into memory that then changes hands. Nobody waits and nobody spins: the port's queue
 * holds what a blocked thread hasn't looked at.
 */
import type { MessagePort } from 'node:worker_threads';
import { decodeHeader, encodeHeader, FRAME_HEADER_BYTES, type FrameHeader } from './frame.js';
import type { Frame } from './mesh.js';

/** Posts header and payload as one ArrayBuffer; the caller may change `payload` at once. */
export function postFrame(
  port: Pick<MessagePort, 'postMessage'>,
  header: FrameHeader,
  payload: readonly Uint8Array[],
): void {
  // Neither zeroed, since all of it is overwritten, nor from a pool, since it is given away.
  const bytes = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + header.payloadBytes);
  bytes.set(encodeHeader(header));
  let at = FRAME_HEADER_BYTES;
  for (const part of payload) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  port.postMessage(bytes.buffer, [bytes.buffer]);
}

/** The frame that `postFrame` posted; the payload begins at byte 40 of memory of its own. Throws PROTOCOL or VERSION_MISMATCH. */
export function frameOf(bytes: ArrayBuffer): Omit<Frame, 'arrivedMs'> {
  const header = decodeHeader(new Uint8Array(bytes));
  return { header, payload: new Uint8Array(bytes, FRAME_HEADER_BYTES) };
}
