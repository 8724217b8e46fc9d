/**
 * Frames between two threads: memory that changes hands, header and payload as one ArrayBuffer. Nobody waits and nobody spins: the port's queue
 * holds what a blocked thread hasn't looked at.
 */
import type { MessagePort } from 'node:worker_threads';
import { CommError } from './errors.js';
import { decodeHeader, FRAME_HEADER_BYTES, writeHeader, type FrameHeader } from './frame.js';
import type { ArrivingFrame } from './mesh.js';
import { joined, releaseOnce, type PayloadMemory } from './payload_pool.js';

/** Posts a copy of the payload; the caller may change its own at once. */
export function postFrame(
  port: Pick<MessagePort, 'postMessage'>,
  header: FrameHeader,
  payload: readonly Uint8Array[],
  memory: PayloadMemory,
): void {
  postOwnFrame(port, header, joined(payload, header.payloadBytes, memory));
}

/** Posts a payload that payload memory gave: what lies before it becomes the header, and nobody here can use it any more. */
export function postOwnFrame(
  port: Pick<MessagePort, 'postMessage'>,
  header: FrameHeader,
  payload: Uint8Array<ArrayBuffer>,
): void {
  const { buffer } = payload;
  writeHeader(header, new DataView(buffer), 0);
  port.postMessage(buffer, [buffer]);
}

/** The frame that was posted; released, its memory serves the next payloads of this thread. Throws PROTOCOL or VERSION_MISMATCH. */
export function frameOf(buffer: ArrayBuffer, memory: PayloadMemory): ArrivingFrame {
  const header = decodeHeader(new Uint8Array(buffer));
  const { source, layer, phase, payloadBytes } = header;
  if (FRAME_HEADER_BYTES + payloadBytes > buffer.byteLength) {
    const message = `rank ${source} announced ${payloadBytes} payload bytes and sent ${buffer.byteLength - FRAME_HEADER_BYTES}`;
    throw new CommError('PROTOCOL', `${message}; run the same build on every rank`, { rank: source, layer, phase });
  }
  const payload = new Uint8Array(buffer, FRAME_HEADER_BYTES, payloadBytes);
  return { header, payload, release: releaseOnce(memory, payload) };
}
