import { expect } from 'chai';
import fc from 'fast-check';
import { KV_DTYPES } from '../../../../compute/base/kv_dtype.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { randomFrom, randomValues } from '../../../refs/random.js';
import { int8RowRef, narrowRowRef, storedRowRef } from '../../../refs/stored_row_ref.js';
import { bitsOf } from '../../../refs/wire_dtype_ref.js';

/** Of any size, equal ones and neighbours of powers of two among them. */
const values = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.float({ min: -1, max: 1, noNaN: true }),
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(0, -0, 2 ** -149, -(2 ** -149), 2 ** -126, 1 + 2 ** -8, -1 - 2 ** -8, 3.4028234663852886e38),
);
const rows = fc.array(values.map(Math.fround), { minLength: 1, maxLength: 70 });
const BOUNDED = 2 ** 126;

describe('rows as a cache stores them', () => {
  const place = new KernelValues();
  afterEach(() => place.free());

  /** Stored bytes, the word of scale and min, and what is read. */
  const store = (dtype: (typeof KV_DTYPES)[number], row: readonly number[]) => {
    const { memory } = place;
    const number = KV_DTYPES.indexOf(dtype);
    const numBytes = row.length * [4, 2, 1][number]!;
    const [from, to] = [place.floats(row), place.bytes(numBytes)];
    const [wordAt, back] = [place.words([0]), place.floats(row.length)];
    memory.kernels.storeRow(number, from, row.length, to, wordAt);
    memory.kernels.loadRow(number, to, row.length, wordAt, back);
    const bytes = [...memory.bytes(to, numBytes)];
    const word = memory.words(wordAt, 1)[0]! >>> 0;
    const read = [...memory.floats(back, row.length)];
    place.free();
    return { bytes, word, read };
  };

  for (const dtype of KV_DTYPES) {
    it(`read as the reference says, for any values and widths: ${dtype}`, () => {
      fc.assert(
        fc.property(rows, (row) => {
          const { read } = store(dtype, row);
          expect(read.map(bitsOf)).to.deep.equal(storedRowRef(dtype, row).map(bitsOf));
        }),
        { numRuns: 500 },
      );
    });
  }

  it('of int8 have the codes, and the scale over the min, of the reference', () => {
    fc.assert(
      fc.property(rows, (row) => {
        const { bytes, word } = store('int8', row);
        const { scale, min, codes } = int8RowRef(row);
        expect(bytes).to.deep.equal(codes);
        if (!Number.isNaN(scale)) expect(word).to.equal(bitsOf(scale) + bitsOf(min) / 0x10000);
        else expect(word).to.equal(0x7fc07fc0);
      }),
      { numRuns: 500 },
    );
  });

  it('of int8 are off by half a step at most, and a step is little more than a 255th of the range', () => {
    const random = randomFrom(1);
    for (const [shift, width] of [
      [0, 64],
      [0, 7],
      [5, 64],
      [-30, 64],
    ] as const) {
      const row = [...randomValues(random, width, 2)].map((value) => Math.fround(value + shift));
      const range = Math.max(...row) - Math.min(...row);
      const { scale } = int8RowRef(row);
      // bf16 has eight bits: min is off by up to 2⁻⁷ of itself, and scale by as much.
      expect(scale).to.be.within(range / 255, (1.008 * (range + 2 ** -7 * Math.abs(Math.min(...row)))) / 255);
      const worst = Math.max(...store('int8', row).read.map((value, i) => Math.abs(value - row[i]!)));
      expect(worst).to.be.below(0.5001 * scale + 2 ** -22 * Math.abs(shift));
    }
  });

  it('of int8 that hold one value have it to the last bit where bf16 has it', () => {
    for (const value of [0, 1, -1.5, 2 ** -126]) {
      const { read, word, bytes } = store('int8', new Array<number>(9).fill(value));
      expect(read).to.deep.equal(new Array<number>(9).fill(value));
      expect(word >>> 16).to.equal(0);
      expect(bytes.every((code) => code === 0)).to.equal(true);
    }
  });

  it('of int8 with NaN, infinity or a value from 2¹²⁶ on are NaN as a whole, below it never', () => {
    for (const bad of [NaN, Infinity, -Infinity, BOUNDED, -BOUNDED]) {
      for (const at of [0, 4, 8]) {
        const row = Array.from({ length: 9 }, (_, i) => (i === at ? bad : i));
        const { read, bytes } = store('int8', row);
        expect(read.every(Number.isNaN), `${bad}`).to.equal(true);
        expect(bytes.every((code) => code === 0)).to.equal(true);
      }
    }
    const largest = BOUNDED * (1 - 2 ** -24);
    const { read } = store('int8', [largest, -largest, 0]);
    expect(read.every(Number.isFinite)).to.equal(true);
  });

  it('that are narrow have a byte for their scale, and codes around 128, as the reference says', () => {
    fc.assert(
      fc.property(rows, (row) => {
        const { memory } = place;
        const [from, to] = [place.floats(row), place.bytes(row.length)];
        const [byteAt, back] = [place.bytes(1), place.floats(row.length)];
        memory.kernels.storeNarrowRow(from, row.length, to, byteAt);
        memory.kernels.loadNarrowRow(to, row.length, byteAt, back);
        const { byte, codes } = narrowRowRef(row);
        expect([memory.bytes(byteAt, 1)[0], ...memory.bytes(to, row.length)]).to.deep.equal([byte, ...codes]);
        const read = [...memory.floats(back, row.length)];
        expect(read.map(bitsOf)).to.deep.equal(storedRowRef('int8', row, true).map(bitsOf));
        place.free();
      }),
      { numRuns: 500 },
    );
  });

  it('of bf16 keep NaN and infinity, and round what is beyond it to infinity', () => {
    const { read } = store('bf16', [NaN, Infinity, -Infinity, 3.4028234663852886e38, 1]);
    expect(read).to.deep.equal([NaN, Infinity, -Infinity, Infinity, 1]);
  });
});
