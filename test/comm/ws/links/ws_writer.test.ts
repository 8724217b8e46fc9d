import { FRESH_MEMORY } from '../../../../comm/mesh/payload_pool.js';
import type { PayloadStream } from '../../../../comm/mesh/payload_stream.js';
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import { asRank, FRAME_HEADER_BYTES, type FrameHeader } from '../../../../comm/index.js';
import { WsWriter } from '../../../../comm/ws/links/ws_writer.js';
import { MemorySocket } from '../../../kit/comm/memory_socket.js';
import { thrown } from '../../../kit/errors.js';

const HEADER: FrameHeader = {
  ...{ phase: 'dispatch', source: asRank(0), destination: asRank(1), step: 1, layer: 2, microBatch: 0, epoch: 0 },
  ...{ numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 0 },
};
const SMALL = 1000;
const LARGE = 100_000;

describe('the writer of a link', () => {
  it('lets the small frames of a turn leave in one write, when the turn ends', async () => {
    const { writer, socket } = newWriter();
    for (let step = 0; step < 20; step++) send(writer, SMALL, step);
    expect(socket.writes).to.have.length(0);
    await turn();
    expect(socket.writes).to.have.length(1);
    expect(socket.bytes().length).to.equal(20 * (4 + FRAME_HEADER_BYTES + SMALL));
    await turn();
    expect(socket.writes).to.have.length(1);
  });

  it('lets a large frame leave at once, uncopied and behind the small ones before it', () => {
    const { writer, socket } = newWriter();
    send(writer, SMALL, 1);
    const large = send(writer, LARGE, 2);
    expect(socket.writes.map((bytes) => bytes.length)).to.deep.equal([4 + 40 + SMALL, 10 + 40, LARGE]);
    expect(socket.writes[2]).to.equal(large);
    expect(socket.numCorked).to.equal(0);
  });

  it('writes what does not fit with the rest in pieces, in order', async () => {
    const { writer, socket } = newWriter();
    const sizes = Array.from({ length: 40 }, (_, i) => 16_384 - i);
    for (const [step, size] of sizes.entries()) send(writer, size, step);
    await turn();
    expect(socket.writes.length).to.be.within(2, 40);
    let at = 0;
    for (const [step, size] of sizes.entries()) {
      const bytes = socket.bytes().subarray(at + 4 + FRAME_HEADER_BYTES, (at += 4 + FRAME_HEADER_BYTES + size));
      expect(bytes.equals(Buffer.alloc(size, step))).to.equal(true, `frame ${step}`);
    }
  });

  it('changes no memory before it has left, and uses it again afterwards', async () => {
    const { writer, socket } = newWriter();
    const fill = async (step: number): Promise<void> => {
      for (let i = 0; i < 100; i++) send(writer, SMALL, step);
      await turn();
    };
    await fill(1);
    const first = Buffer.from(socket.bytes());
    await fill(2);
    expect(socket.bytes().subarray(0, first.length).equals(first)).to.equal(true);
    const memory = new Set(socket.writes.map((bytes) => bytes.buffer));
    expect(memory.size).to.equal(2);
    socket.sent();
    await fill(3);
    expect(memory.has(socket.writes.at(-1)!.buffer)).to.equal(true);
  });

  it('holds no more memory than twice what is on its way', async () => {
    const { writer, socket } = newWriter();
    for (let step = 0; step < 20; step++) {
      for (let i = 0; i < 5 * step; i++) send(writer, SMALL, step);
      await turn();
    }
    const held = new Set(socket.writes.map(({ buffer }) => buffer));
    const numBytes = [...held].reduce((sum, buffer) => sum + buffer.byteLength, 0);
    expect(numBytes).to.be.at.most(2 * socket.bytes().length);
  });

  it('lets go at once what it is told to', async () => {
    const { writer, socket } = newWriter();
    send(writer, SMALL, 1);
    writer.flush();
    expect(socket.writes).to.have.length(1);
    await turn();
    expect(socket.writes).to.have.length(1);
  });

  it('says when a payload is free again: a small one at once, a large one when it has left', () => {
    const { writer, socket } = newWriter();
    const free: number[] = [];
    send(writer, SMALL, 1, () => free.push(1));
    expect(free).to.deep.equal([1]);
    send(writer, LARGE, 2, () => free.push(2));
    expect(free).to.deep.equal([1]);
    socket.sent();
    expect(free).to.deep.equal([1, 2]);
  });

  describe('a payload that is made while it leaves', () => {
    const NUM_PIECES = 6;

    it('is made piece by piece, one when the socket has taken the one before, and its bytes are whole', () => {
      const { writer, socket } = newWriter();
      const made = pieces(NUM_PIECES);
      stream(writer, made);
      for (let n = 1; n <= NUM_PIECES; n++) {
        expect(made.numMade).to.equal(n);
        socket.sent();
      }
      expectPieces(socket.bytes(), NUM_PIECES);
    });

    it('is made at once where the socket takes all', () => {
      const { writer, socket } = newWriter();
      socket.isFast = true;
      const made = pieces(NUM_PIECES);
      stream(writer, made);
      expect(made.numMade).to.equal(NUM_PIECES);
      expectPieces(socket.bytes(), NUM_PIECES);
    });

    it('is made to its end when its owner wants so, or another frame follows, and goes before that', async () => {
      for (const follows of [false, true]) {
        const { writer, socket } = newWriter();
        const made = pieces(NUM_PIECES);
        const finish = stream(writer, made);
        if (follows) send(writer, SMALL, 9);
        else finish();
        expect(made.numMade).to.equal(NUM_PIECES);
        finish();
        socket.sent();
        await turn();
        const [, ...next] = expectPieces(socket.bytes(), NUM_PIECES);
        expect(next.map(({ length }) => length)).to.deep.equal(follows ? [FRAME_HEADER_BYTES + SMALL] : []);
      }
    });

    it('has whole frames of ws between its pieces', () => {
      const { writer, socket } = newWriter();
      const made = pieces(NUM_PIECES);
      stream(writer, made);
      for (let n = 1; n < NUM_PIECES; n++) {
        socket.write(Uint8Array.of(0x8a, 0)); // a pong
        socket.sent();
      }
      socket.sent();
      expectPieces(socket.bytes(), NUM_PIECES, NUM_PIECES - 1);
    });

    it('gives the memory of its rest back when that has left', () => {
      const { writer, socket } = newWriter();
      const released: Uint8Array[] = [];
      stream(writer, pieces(3), released)();
      expect(released).to.deep.equal([]);
      socket.sent();
      expect(released.map(({ byteLength }) => byteLength)).to.deep.equal([2 * PIECE]);
    });

    it('writes nothing where its header can not be encoded', () => {
      const { writer, socket } = newWriter();
      const header = { ...HEADER, layer: 70_000, payloadBytes: PIECE };
      thrown(() => writer.stream(header, pieces(1), FRESH_MEMORY), 'INVALID_ARGUMENT');
      expect(socket.bytes().length).to.equal(0);
    });
  });

  it('writes nothing of a frame whose header can not be encoded', async () => {
    const { writer, socket } = newWriter();
    send(writer, SMALL, 1);
    thrown(() => writer.write({ ...HEADER, layer: 70_000 }, []), 'INVALID_ARGUMENT');
    send(writer, SMALL, 2);
    await turn();
    expect(socket.bytes().length).to.equal(2 * (4 + FRAME_HEADER_BYTES + SMALL));
  });
});

const PIECE = 64 * 1024;

/** A payload whose piece n is full of n. */
function pieces(numPieces: number): PayloadStream & { readonly numMade: number } {
  let numMade = 0;
  const next = (into: Uint8Array): number => {
    if (numMade === numPieces) return 0;
    into.subarray(0, PIECE).fill(++numMade);
    return PIECE;
  };
  return {
    numBytes: numPieces * PIECE,
    next,
    rest: () => {
      const bytes = new Uint8Array((numPieces - numMade) * PIECE);
      for (let at = 0; at < bytes.length; at += PIECE) next(bytes.subarray(at));
      return bytes;
    },
    get numMade() {
      return numMade;
    },
  };
}

function stream(writer: WsWriter, payload: PayloadStream, released: Uint8Array[] = []): () => void {
  const memory = { ...FRESH_MEMORY, release: (bytes: Uint8Array) => void released.push(bytes) };
  return writer.stream({ ...HEADER, payloadBytes: payload.numBytes }, payload, memory);
}

/** The messages of a server's stream, of which the first is the frame of such pieces, with so many pongs inside. */
function expectPieces(stream: Buffer, numPieces: number, numPongs = 0): Buffer[] {
  const { messages, numControls } = messagesOf(stream);
  const payload = messages[0]!.subarray(FRAME_HEADER_BYTES);
  expect(payload.length).to.equal(numPieces * PIECE);
  for (let n = 0; n < numPieces; n++) {
    expect(
      payload.subarray(n * PIECE, (n + 1) * PIECE).every((byte) => byte === n + 1),
      `piece ${n}`,
    ).to.equal(true);
  }
  expect(numControls).to.equal(numPongs);
  return messages;
}

/** Binary messages, put together, and the number of control frames. */
function messagesOf(stream: Buffer): { messages: Buffer[]; numControls: number } {
  const messages: Buffer[] = [];
  let parts: Buffer[] = [];
  let numControls = 0;
  for (let at = 0; at < stream.length;) {
    const [first, short] = [stream[at]!, stream[at + 1]!];
    const size = short < 126 ? 2 : short === 126 ? 4 : 10;
    const length = size === 2 ? short : size === 4 ? stream.readUInt16BE(at + 2) : stream.readUInt32BE(at + 6);
    const payload = stream.subarray(at + size, at + size + length);
    at += size + length;
    if ((first & 0x08) !== 0) {
      numControls++;
      continue;
    }
    expect(first & 0x0f).to.equal(parts.length === 0 ? 2 : 0);
    parts.push(payload);
    if ((first & 0x80) === 0) continue;
    messages.push(Buffer.concat(parts));
    parts = [];
  }
  expect(parts).to.deep.equal([]);
  return { messages, numControls };
}

function newWriter(): { writer: WsWriter; socket: MemorySocket } {
  const socket = new MemorySocket();
  return { writer: new WsWriter(socket), socket };
}

/** A payload full of the low byte of `step`. */
function send(writer: WsWriter, payloadBytes: number, step: number, onSent?: () => void): Uint8Array {
  const payload = new Uint8Array(payloadBytes).fill(step);
  writer.write({ ...HEADER, step, payloadBytes }, [payload], onSent);
  return payload;
}
