import { expect } from 'chai';
import fc from 'fast-check';
import {
  asRank,
  CommError,
  decodeHeader,
  encodeHeader,
  type ArrivingFrame,
  type FrameHeader,
} from '../../../../comm/index.js';
import { FrameAssembler } from '../../../../comm/ws/links/frame_assembler.js';
import { WsReader } from '../../../../comm/ws/links/ws_reader.js';
import { WsWriter } from '../../../../comm/ws/links/ws_writer.js';
import { MemorySocket } from '../../../kit/comm/memory_socket.js';
import { randomOf } from '../../../kit/comm/all_to_all.js';
import { thrown } from '../../../kit/errors.js';
import { encodeFragment, encodeMessageRef } from '../../../refs/ws_stream_ref.js';

const MAX_FRAME_BYTES = 100_000;
const HEADER: FrameHeader = {
  ...{ phase: 'dispatch', source: asRank(1), destination: asRank(0), step: 5, layer: 1, microBatch: 0, epoch: 0 },
  ...{ numRows: 0, hidden: 0, numTopk: 0, dtype: 'f32', flags: 0, payloadBytes: 0 },
};

/** A reader with everything that it reported and allocated. */
class Probe {
  readonly frames: ArrivingFrame[] = [];
  readonly pings: number[][] = [];
  readonly closes: number[] = [];
  readonly allocations: number[] = [];
  readonly released: Uint8Array[] = [];
  copiedBytes = 0;
  private readonly reader: WsReader;

  constructor() {
    const allocate = (numBytes: number): Uint8Array<ArrayBuffer> => {
      this.allocations.push(numBytes);
      return new Uint8Array(numBytes);
    };
    const sink = new FrameAssembler({
      maxFrameBytes: MAX_FRAME_BYTES,
      memory: { allocate, release: (payload) => this.released.push(payload) },
      onFrame: (frame, copiedBytes) => {
        this.frames.push(frame);
        this.copiedBytes += copiedBytes;
      },
    });
    this.reader = new WsReader({
      ...{ maxMessageBytes: MAX_FRAME_BYTES, sink },
      onPing: (payload) => this.pings.push([...payload]),
      onClose: (code) => this.closes.push(code),
    });
  }

  feed(bytes: Uint8Array): void {
    this.reader.feed(bytes);
  }

  /** As a socket does: into `space` where there is one, else into a buffer that is overwritten by the next read. */
  read(stream: Uint8Array, readSizes: () => number): void {
    for (let at = 0; at < stream.length;) {
      const size = Math.min(stream.length - at, readSizes());
      const space = this.reader.space();
      const bytes = stream.subarray(at, at + Math.min(size, space?.length ?? size));
      if (space === undefined) {
        const shared = Uint8Array.from(bytes);
        this.feed(shared);
        shared.fill(0xee);
      } else {
        space.set(bytes);
        this.reader.filled(bytes.length);
      }
      at += bytes.length;
    }
  }

  summary(): unknown {
    const frames = this.frames.map(({ header, payload }) => [header.step, Buffer.from(payload).toString('base64')]);
    return { frames, pings: this.pings, closes: this.closes };
  }
}

const frameBytes = (payload: Uint8Array, fields: Partial<FrameHeader> = {}): Uint8Array =>
  Buffer.concat([encodeHeader({ ...HEADER, payloadBytes: payload.length, ...fields }), payload]);

const pattern = (numBytes: number, seed: number): Uint8Array =>
  Uint8Array.from({ length: numBytes }, (_, i) => (i * 7 + seed) & 0xff);

const data = (payload: Uint8Array, opcode = 2, isLast = true): Uint8Array =>
  encodeFragment({ opcode, isLast, payload });

describe('a WebSocket reader', () => {
  it('gives the same frames, pings and close wherever fragments and reads are cut', () => {
    const message = fc.record({
      numBytes: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 60_000, max: 70_000 })),
      cuts: fc.array(fc.nat(), { maxLength: 4 }),
    });
    const property = fc.property(fc.array(message, { maxLength: 4 }), fc.integer(), (messages, seed) => {
      const random = randomOf(seed);
      const payloads = messages.map(({ numBytes }, i) => pattern(numBytes, i));
      const parts = messages.map(({ cuts }, step) => encodeMessageRef(frameBytes(payloads[step]!, { step }), cuts));
      const stream = Buffer.concat([...parts, data(Uint8Array.of(3, 232), 8)]);
      const probe = new Probe();
      const largest = random() < 0.5 ? 10 : 50_000;
      probe.read(stream, () => 1 + Math.floor(random() * largest));
      expect(probe.summary()).to.deep.equal({
        frames: payloads.map((payload, step) => [step, Buffer.from(payload).toString('base64')]),
        pings: messages.flatMap(({ cuts }) => cuts.map((_, i) => [i + 1])),
        closes: [1000],
      });
    });
    fc.assert(property, { numRuns: 60, seed: 4 });
  });

  it('puts large payloads in place without a copy, once the header came', () => {
    const payload = pattern(90_000, 1);
    const stream = data(frameBytes(payload));
    const probe = new Probe();
    let isFirst = true;
    probe.read(stream, () => {
      const size = isFirst ? 50 : 40_000;
      isFirst = false;
      return size;
    });
    expect(Buffer.compare(probe.frames[0]!.payload, payload)).to.equal(0);
    expect([probe.copiedBytes, probe.allocations]).to.deep.equal([0, [90_000]]);
  });

  it('takes what its own writer makes, at every size of the length field', () => {
    for (const numBytes of [0, 85, 86, 1000, 65_495, 65_496, 90_000]) {
      const payload = pattern(numBytes, 3);
      const probe = new Probe();
      const socket = new MemorySocket();
      const writer = new WsWriter(socket);
      writer.write({ ...HEADER, payloadBytes: numBytes }, [payload.subarray(0, 10), payload.subarray(10)]);
      writer.flush();
      probe.feed(socket.bytes());
      expect(Buffer.compare(probe.frames[0]!.payload, payload)).to.equal(0);
      expect(Buffer.compare(socket.bytes(), data(frameBytes(payload)))).to.equal(0);
    }
  });

  it('gives a payload back once, however often its consumer does', () => {
    const probe = new Probe();
    probe.feed(data(frameBytes(pattern(2000, 1))));
    const [frame] = probe.frames;
    frame!.release!();
    frame!.release!();
    expect(probe.released).to.deep.equal([frame!.payload]);
  });

  const whole = frameBytes(new Uint8Array(4));
  for (const [what, stream, code] of [
    ['reserved bits', [0xc2, 0], 'PROTOCOL'],
    ['a text message', [0x81, 0], 'PROTOCOL'],
    ['an unknown data opcode', [0x83, 0], 'PROTOCOL'],
    ['an unknown control opcode', [0x8b, 0], 'PROTOCOL'],
    ['a masked frame', [0x82, 0x84, 0, 0, 0, 0, 0, 0, 0, 0], 'PROTOCOL'],
    ['a 16-bit length below 126', [0x82, 126, 0, 125], 'PROTOCOL'],
    ['a 64-bit length below 65536', [0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255], 'PROTOCOL'],
    ['a length above the limit', [0x82, 127, 0, 0, 0, 0, 0, 1, 134, 161], 'LIMIT'],
    ['a length of 2^63', [0x82, 127, 128, 0, 0, 0, 0, 0, 0, 0], 'LIMIT'],
    ['a control frame in fragments', [0x09, 0], 'PROTOCOL'],
    ['a control frame of 126 bytes', [0x89, 126, 0, 126], 'PROTOCOL'],
    ['a continuation without a beginning', [0x80, 0], 'PROTOCOL'],
    ['a message inside another', [0x02, 1, 0, 0x82, 0], 'PROTOCOL'],
    ['half a status code', [0x88, 1, 3], 'PROTOCOL'],
    [
      'fragments above the limit together',
      [...data(whole.subarray(0, 20), 2, false), 0, 127, 0, 0, 0, 0, 0, 1, 134, 160],
      'LIMIT',
    ],
    ['a message shorter than its frame', [...data(whole.subarray(0, 42))], 'PROTOCOL'],
    ['a message longer than its frame', [...data(Buffer.concat([whole, whole]))], 'PROTOCOL'],
    ['a fragment longer than its frame', [...data(whole, 2, false), ...data(Uint8Array.of(1), 0, false)], 'PROTOCOL'],
    [
      'a last fragment that leaves a frame short',
      [...data(whole.subarray(0, 41), 2, false), ...data(Uint8Array.of(1), 0)],
      'PROTOCOL',
    ],
    [
      'a frame above the limit in fragments',
      [...data(frameBytes(new Uint8Array(0), { payloadBytes: 99_961 }), 2, false)],
      'LIMIT',
    ],
  ] as const satisfies readonly (readonly [string, readonly number[], string])[]) {
    it(`refuses ${what} with ${code}, allocates nothing for it and reads no further`, () => {
      const probe = new Probe();
      thrown(() => probe.feed(Uint8Array.from(stream)), code);
      expect(probe.allocations.filter((numBytes) => numBytes > 4)).to.deep.equal([]);
      probe.feed(data(whole));
      expect(probe.frames).to.deep.equal([]);
    });
  }

  it('waits for the rest of a stream that was truncated at any byte', () => {
    const stream = encodeMessageRef(frameBytes(pattern(300, 1)), [100, 200]);
    for (let length = 0; length < stream.length; length++) {
      const probe = new Probe();
      probe.feed(stream.subarray(0, length));
      expect(probe.frames).to.deep.equal([]);
      probe.feed(stream.subarray(length));
      expect(probe.frames.length).to.equal(1);
    }
  });

  it('survives 40,000 mutated streams: a CommError or frames, memory within the limit', () => {
    const random = randomOf(21);
    const pick = (n: number): number => Math.floor(random() * n);
    const bases = [
      encodeMessageRef(frameBytes(pattern(20, 1)), []),
      encodeMessageRef(frameBytes(pattern(200, 2)), [50]),
      Buffer.concat([data(frameBytes(pattern(3, 3))), data(Uint8Array.of(1, 2), 9), data(frameBytes(pattern(130, 4)))]),
    ];
    let [numRefused, numRead] = [0, 0];
    for (let run = 0; run < 40_000; run++) {
      const stream = Uint8Array.from(bases[run % bases.length]!);
      // Mostly among the headers, where it matters.
      for (let i = 0; i <= run % 3; i++) stream[pick(random() < 0.7 ? 50 : stream.length)] = pick(256);
      const end = run % 5 === 0 ? pick(stream.length) : stream.length;
      const probe = new Probe();
      try {
        probe.read(stream.subarray(0, end), () => 1 + pick(100));
        numRead++;
      } catch (error) {
        if (!(error instanceof CommError)) throw error;
        numRefused++;
      }
      if (probe.allocations.some((numBytes) => numBytes > MAX_FRAME_BYTES)) expect.fail('more than the limit');
      if (probe.allocations.length > 3) expect.fail('more allocations than messages');
    }
    expect(Math.min(numRefused, numRead)).to.be.above(4000);
  });

  it('survives 40,000 frame headers mutated at random: what their bytes say, or a CommError', () => {
    const random = randomOf(22);
    const base = encodeHeader(HEADER);
    for (let run = 0; run < 40_000; run++) {
      const bytes = Uint8Array.from(base);
      for (let i = 0; i <= run % 4; i++) bytes[Math.floor(random() * 40)] = Math.floor(random() * 256);
      try {
        if (Buffer.compare(encodeHeader(decodeHeader(bytes)), bytes) !== 0) expect.fail('decoded to something else');
      } catch (error) {
        if (!(error instanceof CommError)) throw error;
      }
    }
  });
});
