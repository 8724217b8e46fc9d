import { expect } from 'chai';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { asRank, FRAME_HEADER_BYTES, type FrameHeader } from '../../../comm/index.js';
import { PayloadPool } from '../../../comm/mesh/payload_pool.js';
import { RingReader, ringBytes, RingWriter, type RingPlace } from '../../../comm/threads/frame_ring.js';
import { thrown } from '../../kit/errors.js';
import { headerOf, payloadOf, sizeOf, type RingOrder } from '../../kit/comm/ring_writer.js';

const CAPACITY = 4096;
/** Positions begin so many bytes before they begin again at 0. */
const NEAR_THE_END = -3 * CAPACITY;

/** An empty ring whose positions begin at `position`. */
function newRing(position = 0, capacity = CAPACITY): RingPlace {
  const memory = new SharedArrayBuffer(64 + ringBytes(capacity));
  new Int32Array(memory).fill(position, 16, 48);
  return { memory, byteOffset: 64, capacity };
}

function endsOf(place: RingPlace) {
  const memory = new PayloadPool(1e9);
  const [writer, reader] = [new RingWriter(place), new RingReader(place)];
  return { writer, next: () => reader.next(memory), reader };
}

const write = (writer: RingWriter, step: number, size = sizeOf(step)): boolean =>
  writer.write(headerOf(step, size), [payloadOf(step, size)]);

describe('a ring of frames', () => {
  for (const position of [0, NEAR_THE_END]) {
    it(`gives what was written, in order, whole, as far as there was room, positions from ${position} on`, () => {
      const { writer, next } = endsOf(newRing(position));
      const inside: number[] = [];
      let numRefused = 0;
      for (let step = 0; step < 5000; step++) {
        if (write(writer, step)) inside.push(step);
        else numRefused++;
        for (let reads = step % 64 < 32 ? 0 : 2; reads > 0 && inside.length > 0; reads--)
          expectFrame(next(), inside.shift()!);
      }
      while (inside.length > 0) expectFrame(next(), inside.shift()!);
      expect(next()).to.equal(undefined);
      expect(numRefused).to.be.greaterThan(10);
    });
  }

  it('joins the parts of a payload, and keeps every field of a header', () => {
    const { writer, next } = endsOf(newRing());
    const header: FrameHeader = {
      ...{ phase: 'combine', source: asRank(3), destination: asRank(4), step: 5, layer: 6, microBatch: 7, epoch: 8 },
      ...{ numRows: 9, hidden: 10, numTopk: 11, dtype: 'fp8', flags: 1, payloadBytes: 3 },
    };
    expect(writer.write(header, [Uint8Array.of(1), Uint8Array.of(), Uint8Array.of(2, 3)])).to.equal(true);
    const frame = next()!;
    expect(frame.header).to.deep.equal(header);
    expect([...frame.payload]).to.deep.equal([1, 2, 3]);
  });

  it('is full by its bytes, and takes more as soon as some were read', () => {
    const { writer, next, reader } = endsOf(newRing());
    expect(reader.position).to.equal(reader.written);
    const size = 256 - FRAME_HEADER_BYTES;
    for (let step = 0; step < 16; step++) expect(write(writer, step, size)).to.equal(true);
    expect(write(writer, 16, 0)).to.equal(false);
    expect(reader.written - reader.position).to.equal(CAPACITY);
    expectFrame(next(), 0, size);
    expect(write(writer, 16, size)).to.equal(true);
    for (let step = 1; step <= 16; step++) expectFrame(next(), step, size);
    expect([next(), reader.position]).to.deep.equal([undefined, reader.written]);
  });

  it('refuses frames above a quarter of it, which must go elsewhere', () => {
    const { writer } = endsOf(newRing());
    expect(write(writer, 0, CAPACITY / 4 - FRAME_HEADER_BYTES)).to.equal(true);
    expect(write(writer, 1, CAPACITY / 4 - FRAME_HEADER_BYTES + 1)).to.equal(false);
  });

  it('shows nothing of a frame whose header can’t be written', () => {
    const { writer, next } = endsOf(newRing());
    thrown(() => writer.write({ ...headerOf(0, 0), layer: 70_000 }, []), 'INVALID_ARGUMENT');
    expect(next()).to.equal(undefined);
    expect(write(writer, 1)).to.equal(true);
    expectFrame(next(), 1);
  });

  it('refuses to read what no writer wrote: PROTOCOL', () => {
    const place = newRing();
    const { writer, next } = endsOf(place);
    write(writer, 0, 100);
    const bytes = new DataView(place.memory, place.byteOffset + ringBytes(0));
    bytes.setUint32(36, 200, true);
    expect(thrown(next, 'PROTOCOL').message).to.contain('200');
    bytes.setUint32(0, 1);
    thrown(next, 'PROTOCOL');
  });

  it('loses and changes nothing between two threads that take turns as they like', async () => {
    const place = newRing(NEAR_THE_END, 65_536);
    const numFrames = 30_000;
    const { next } = endsOf(place);
    const worker = new Worker(new URL('../../kit/comm/ring_writer.js', import.meta.url), {
      workerData: { place, numFrames } satisfies RingOrder,
    });
    const ended = once(worker, 'exit');
    for (let step = 0; step < numFrames;) {
      const frame = next();
      if (frame === undefined) await new Promise(setImmediate);
      else expectFrame(frame, step++);
    }
    expect(await ended).to.deep.equal([0]);
    expect(next()).to.equal(undefined);
  });
});

function expectFrame(frame: ReturnType<ReturnType<typeof endsOf>['next']>, step: number, size = sizeOf(step)): void {
  if (frame === undefined) expect.fail(`frame ${step} is missing`);
  const { header, payload } = frame;
  // Once per frame, of which there are many: chai's own comparison of arrays takes long.
  if (header.step !== step || Buffer.compare(payload, payloadOf(step, size)) !== 0) {
    expect.fail(`frame ${step} came as ${header.step} with ${payload.byteLength} bytes, or with others`);
  }
  frame.release?.();
}
