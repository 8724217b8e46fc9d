import { expect } from 'chai';
import fc from 'fast-check';
import {
  asRank,
  CommError,
  decodeHeader,
  encodeHeader,
  FRAME_HEADER_BYTES,
  PHASES,
  WIRE_DTYPES,
  type FrameHeader,
} from '../../../comm/index.js';
import { randomOf } from '../../kit/comm/all_to_all.js';
import { thrown } from '../../kit/errors.js';

const HEADER: FrameHeader = {
  ...{ phase: 'combine', source: asRank(3), destination: asRank(1), step: 70000, layer: 12, microBatch: 1, epoch: 9 },
  ...{ numRows: 5, hidden: 7168, numTopk: 8, dtype: 'bf16', flags: 1, payloadBytes: 123456 },
};

describe('a frame header', () => {
  it('comes back from its 40 bytes for every value in range', () => {
    const u16 = fc.integer({ min: 0, max: 0xffff });
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const header = fc.record({
      ...{
        phase: fc.constantFrom(...PHASES),
        source: u16.map(asRank),
        destination: u16.map(asRank),
        step: u32,
        layer: u16,
      },
      ...{ microBatch: u16, epoch: u32, numRows: u32, hidden: u32, numTopk: u16, payloadBytes: u32 },
      dtype: fc.constantFrom(...WIRE_DTYPES, 'custom' as const),
      flags: fc.integer({ min: 0, max: 15 }),
    });
    fc.assert(
      fc.property(header, (value) => {
        expect(decodeHeader(encodeHeader(value))).to.deep.equal(value);
      }),
    );
  });

  it('is laid out as docs/wire.md says', () => {
    const hex = Buffer.from(encodeHeader(HEADER)).toString('hex');
    expect(hex).to.equal(
      '45574952' +
        '02' +
        '01' +
        '01' +
        '01' +
        '0300' +
        '0100' +
        '0c00' +
        '0100' +
        '09000000' +
        '70110100' +
        '05000000' +
        '001c0000' +
        '0800' +
        '0000' +
        '40e20100',
    );
  });

  it('says of rows that a codec of somebody else wrote that their dtype is 255', () => {
    expect(encodeHeader({ ...HEADER, dtype: 'custom' })[6]).to.equal(255);
  });

  it('refuses numbers that fit no field', () => {
    for (const wrong of [{ layer: 65536 }, { step: -1 }, { step: 1.5 }, { epoch: 2 ** 32 }, { source: asRank(NaN) }]) {
      thrown(() => encodeHeader({ ...HEADER, ...wrong }), 'INVALID_ARGUMENT');
    }
  });

  it('truncated at each byte is a PROTOCOL error', () => {
    const bytes = encodeHeader(HEADER);
    for (let length = 0; length < FRAME_HEADER_BYTES; length++) {
      thrown(() => decodeHeader(bytes.subarray(0, length)), 'PROTOCOL');
    }
  });

  for (const [what, at, value, code] of [
    ['magic', 0, 0, 'PROTOCOL'],
    ['version', 4, 3, 'VERSION_MISMATCH'],
    ['phase', 5, PHASES.length, 'PROTOCOL'],
    ['dtype', 6, WIRE_DTYPES.length, 'PROTOCOL'],
    ['dtype below that of codecs', 6, 254, 'PROTOCOL'],
    ['flags', 7, 16, 'PROTOCOL'],
    ['reserved bytes', 35, 1, 'PROTOCOL'],
  ] as const) {
    it(`with a wrong ${what} is refused: ${code}`, () => {
      const bytes = encodeHeader(HEADER);
      bytes[at] = value;
      thrown(() => decodeHeader(bytes), code);
    });
  }

  it('mutated at random is decoded to what its bytes say or refused, never anything else', () => {
    const random = randomOf(11);
    let numRefused = 0;
    for (let run = 0; run < 5000; run++) {
      const bytes = encodeHeader(HEADER);
      for (let i = 0; i <= run % 4; i++) bytes[Math.floor(random() * 40)] = Math.floor(random() * 256);
      try {
        expect(encodeHeader(decodeHeader(bytes))).to.deep.equal(bytes);
      } catch (error) {
        expect(error).to.be.instanceOf(CommError);
        numRefused++;
      }
    }
    expect(numRefused).to.be.within(1000, 4999);
  });
});
