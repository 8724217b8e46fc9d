/** Frames whose bytes follow from their number, and the thread behind frame_ring.test.ts, which writes them into a ring as fast as there is room. */
import { workerData } from 'node:worker_threads';
import { asRank, type FrameHeader } from '../../../comm/index.js';
import { RingWriter, type RingPlace } from '../../../comm/threads/frame_ring.js';

export interface RingOrder {
  readonly place: RingPlace;
  readonly numFrames: number;
}

/** Payload bytes of a frame: 0 … 900 that look random. */
export const sizeOf = (step: number): number => ((step * 2_654_435_761) >>> 8) % 901;

const BYTES = Uint8Array.from({ length: 2000 }, (_, i) => i * 7 + (i >> 8));

/** The payload of a frame, up to 1000 bytes: others in each of 1000 in a row. */
export const payloadOf = (step: number, size: number): Uint8Array => BYTES.subarray(step % 1000, (step % 1000) + size);

export const headerOf = (step: number, payloadBytes: number): FrameHeader => ({
  ...{ phase: 'dispatch', source: asRank(0), destination: asRank(1), step, layer: 0, microBatch: 0, epoch: 0 },
  ...{ numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes },
});

const order = workerData as RingOrder | null;
if (order !== null && 'place' in order) {
  const writer = new RingWriter(order.place);
  for (let step = 0; step < order.numFrames;) {
    const size = sizeOf(step);
    if (writer.write(headerOf(step, size), [payloadOf(step, size)])) step++;
    else await new Promise(setImmediate);
  }
}
