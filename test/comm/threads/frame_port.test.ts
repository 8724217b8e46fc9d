import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { asRank, FRAME_HEADER_BYTES, type FrameHeader } from '../../../comm/index.js';
import { FramePort, framesOf, isFrameMessage, type FrameMessage } from '../../../comm/threads/frame_port.js';
import { PayloadPool } from '../../../comm/mesh/payload_pool.js';
import { thrown } from '../../kit/errors.js';

const HEADER: FrameHeader = {
  ...{ phase: 'dispatch', source: asRank(0), destination: asRank(1), step: 0, layer: 2, microBatch: 0, epoch: 0 },
  ...{ numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 0 },
};
const SMALL = 100;
const LARGE = 100_000;

/** Keeps what is posted, as a receiver would see it. */
class MemoryPort {
  readonly messages: unknown[] = [];

  postMessage(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.messages.push(structuredClone(message, { transfer: [...transfer] }));
  }

  frames(memory = new PayloadPool(1e9)): { step: number; bytes: Uint8Array }[] {
    const messages = this.messages.filter((message): message is FrameMessage => isFrameMessage(message));
    return messages.flatMap((message) =>
      [...framesOf(message, memory)].map(({ header, payload }) => ({ step: header.step, bytes: payload })),
    );
  }
}

describe('frames through a port', () => {
  it('arrive in order with their bytes, whatever their sizes', async () => {
    const { frames, port } = newPort();
    const sizes = [0, 1, 3, LARGE, 5, 16_384, 16_385, ...Array.from({ length: 30 }, () => 10_001), 2];
    for (const [step, size] of sizes.entries()) {
      const payload = new Uint8Array(size).fill(step);
      frames.send({ ...HEADER, step, payloadBytes: size }, [payload.subarray(0, 1), payload.subarray(1)]);
      payload.fill(255);
    }
    await turn();
    const got = port.frames();
    expect(got.map(({ step, bytes }) => [step, bytes.length])).to.deep.equal([...sizes.entries()]);
    for (const { step, bytes } of got) expect(bytes.every((byte) => byte === step)).to.equal(true);
  });

  it('are posted together where they are small, when the turn ends, and by themselves where they are large', async () => {
    const { frames, port } = newPort();
    for (let step = 0; step < 50; step++) send(frames, step, SMALL);
    expect(port.messages).to.have.length(0);
    await turn();
    expect(port.messages).to.have.length(1);
    send(frames, 50, SMALL);
    send(frames, 51, LARGE);
    expect(port.messages).to.have.length(3);
    expect(port.frames().map(({ step }) => step)).to.deep.equal([...Array.from({ length: 52 }).keys()]);
  });

  it('leave at once when they are told to, holding twice their bytes at most', async () => {
    const { frames, port } = newPort();
    send(frames, 1, SMALL);
    frames.flush();
    expect(port.messages).to.have.length(1);
    const { batch, numBytes } = port.messages[0] as { batch: ArrayBuffer; numBytes: number };
    expect(batch.byteLength).to.be.at.most(2 * numBytes);
    await turn();
    expect(port.messages).to.have.length(1);
  });

  it('leave before anything else that is posted', () => {
    const { frames, port } = newPort();
    send(frames, 1, SMALL);
    frames.post('farewell');
    expect(port.messages.map((message) => isFrameMessage(message))).to.deep.equal([true, false]);
  });

  it('hand a payload of their memory over without a copy, and use a small one again', async () => {
    const memory = new PayloadPool(1e9);
    const port = new MemoryPort();
    const frames = new FramePort(port, memory);
    const large = memory.allocate(LARGE).fill(7);
    frames.give({ ...HEADER, payloadBytes: LARGE }, large);
    expect(large.byteLength).to.equal(0); // it is gone
    const small = memory.allocate(2000).fill(8);
    frames.give({ ...HEADER, step: 1, payloadBytes: 2000 }, small);
    expect(memory.allocate(2000).buffer).to.equal(small.buffer);
    await turn();
    expect(port.frames().map(({ bytes }) => [bytes.length, bytes[0], bytes.at(-1)])).to.deep.equal([
      [LARGE, 7, 7],
      [2000, 8, 8],
    ]);
  });

  it('are refused where they are shorter than they say: PROTOCOL', () => {
    const header = { ...HEADER, payloadBytes: LARGE };
    const { frames, port } = newPort();
    frames.send(header, [new Uint8Array(LARGE)]);
    const cut = (port.messages[0] as ArrayBuffer).slice(0, FRAME_HEADER_BYTES + 10);
    const memory = new PayloadPool(1e9);
    thrown(() => [...framesOf(cut, memory)], 'PROTOCOL', { rank: asRank(0), layer: 2, phase: 'dispatch' });
    thrown(() => [...framesOf({ batch: cut, numBytes: cut.byteLength }, memory)], 'PROTOCOL', { layer: 2 });
    thrown(() => [...framesOf({ batch: cut, numBytes: 20 }, memory)], 'PROTOCOL');
  });
});

function newPort(): { frames: FramePort<string>; port: MemoryPort } {
  const port = new MemoryPort();
  return { frames: new FramePort<string>(port, new PayloadPool(1e9)), port };
}

function send(frames: FramePort<string>, step: number, payloadBytes: number): void {
  frames.send({ ...HEADER, step, payloadBytes }, [new Uint8Array(payloadBytes)]);
}
