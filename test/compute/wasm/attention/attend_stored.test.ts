/** The attention kernel over keys and values of bf16 and int8, as they are read back. */
import { expect } from 'chai';
import fc from 'fast-check';
import { inChunks, randomLane, runLane, type Blocks, type LaneCase } from '../../../kit/kernels/kernel_lanes.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { attendRowRef } from '../../../refs/attention_ref.js';
import { isSameBits, largestDifference } from '../../../refs/random.js';
import { storedRowRef } from '../../../refs/stored_row_ref.js';

const rowsOf = (values: Float32Array, width: number): Float32Array[] =>
  Array.from({ length: values.length / width }, (_, i) => values.subarray(i * width, (i + 1) * width));

/** In float64, over what is read back of keys and values. */
function reference(lane: LaneCase, dtype: 'bf16' | 'int8'): number[] {
  const { position, numHeads, dim, valueDim, window, softmaxScale, sinks } = lane;
  const keys = rowsOf(lane.keys, dim).map((row) => storedRowRef(dtype, row));
  const values = rowsOf(lane.values, valueDim).map((row) => storedRowRef(dtype, row));
  return rowsOf(lane.queries, dim).flatMap((query, row) => {
    const end = position + Math.floor(row / numHeads) + 1;
    const start = window === 0 ? 0 : Math.max(0, end - window);
    const sink = sinks?.[row % numHeads];
    return attendRowRef(query, keys.slice(start, end), values.slice(start, end), softmaxScale, sink);
  });
}

const shapes = fc.record({
  position: fc.oneof(fc.constant(0), fc.nat(150)),
  numTokens: fc.oneof(fc.constant(1), fc.nat(40)),
  numHeads: fc.integer({ min: 1, max: 7 }),
  dim: fc.integer({ min: 1, max: 40 }),
  valueDim: fc.integer({ min: 1, max: 40 }),
  window: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
});
const blockSizes = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 70 }));
/** What a tile may have of rows: changes no bits. */
const tileRows = fc.constantFrom(2, 4);

/** How far products of 16 bits are from those of floats, beside values up to 1. */
const NEAR = { bf16: 3e-6, int8: 2e-4 };

for (const dtype of ['bf16', 'int8'] as const) {
  describe(`attention kernel over ${dtype}`, () => {
    const place = new KernelValues();
    const plain: Blocks = { blockSize: 16, seed: 0, form: 'panels', dtype };
    const blocks = fc.record({
      blockSize: blockSizes,
      seed: fc.nat(),
      form: fc.constant('panels' as const),
      dtype: fc.constant(dtype),
    });
    afterEach(() => {
      place.free();
      place.memory.kernels.setTile(2);
    });

    const run = (lane: LaneCase, where = plain, stale = 0): Float32Array => {
      const out = runLane(place, lane, where, stale);
      place.free();
      return out;
    };

    it('agrees with the float64 reference over what is read, for any shapes, blocks, windows and sinks', () => {
      fc.assert(
        fc.property(shapes, blocks, tileRows, fc.nat(), fc.boolean(), (shape, where, numRows, seed, hasSinks) => {
          place.memory.kernels.setTile(numRows);
          const lane = randomLane(seed, shape, hasSinks);
          expect(largestDifference(run(lane, where), reference(lane, dtype))).to.be.below(NEAR[dtype]);
        }),
        { numRuns: 200 },
      );
    });

    it('gives a token the same bits alone or among others, for any chunks, blocks and tiles', () => {
      fc.assert(
        fc.property(shapes, blocks, tileRows, fc.nat(), fc.boolean(), (shape, where, numRows, seed, hasSinks) => {
          const lane = randomLane(seed, shape, hasSinks);
          place.memory.kernels.setTile(2);
          const whole = run(lane);
          place.memory.kernels.setTile(numRows);
          const parts = inChunks(lane, 1 + (seed % 7), (tokens) => run(tokens, where));
          expect(isSameBits(parts, whole)).to.equal(true);
        }),
        { numRuns: 200 },
      );
    });

    it('what is in blocks where no token was written may be anything', () => {
      fc.assert(
        fc.property(shapes, blocks, tileRows, fc.nat(), (shape, where, numRows, seed) => {
          place.memory.kernels.setTile(numRows);
          const lane = randomLane(seed, shape, false);
          const clean = run(lane, where);
          for (const stale of [NaN, Infinity, -1e-30])
            expect(isSameBits(run(lane, where, stale), clean)).to.equal(true);
        }),
        { numRuns: 100 },
      );
    });

    for (const window of [0, 1, 10]) {
      it(`what a token doesn't see may be anything: window ${window}`, () => {
        const lane = randomLane(2, { position: 20, numTokens: 9, numHeads: 3, dim: 12, valueDim: 17, window }, false);
        for (const where of [plain, { ...plain, blockSize: 5 }]) {
          const whole = rowsOf(run(lane, where), 3 * 17);
          for (let t = 0; t < 9; t++) {
            const end = 20 + t + 1;
            const isSeen = (key: number): boolean => key < end && (window === 0 || key >= end - window);
            for (const bad of [NaN, 1e30]) {
              const spoilt = (values: Float32Array, width: number): Float32Array =>
                values.map((value, i) => (isSeen(Math.floor(i / width)) ? value : bad));
              const rows = run({ ...lane, keys: spoilt(lane.keys, 12), values: spoilt(lane.values, 17) }, where);
              expect(isSameBits(rowsOf(rows, 3 * 17)[t]!, whole[t]!)).to.equal(true);
            }
          }
        }
      });
    }

    it('NaN in a query or key makes NaN of the rows that see it, in a value of what they find there', () => {
      const shape = { position: 3, numTokens: 4, numHeads: 2, dim: 8, valueDim: 8, window: 0 };
      const spoil = (values: Float32Array, at: number): Float32Array =>
        values.map((value, i) => (i === at ? NaN : value));
      const lane = randomLane(3, shape, false);
      const isNaNs = (spoilt: LaneCase): boolean[] => rowsOf(run(spoilt), 8).map((row) => row.every(Number.isNaN));
      const fromToken = (token: number): boolean[] => Array.from({ length: 8 }, (_, row) => row >= 2 * token);
      const fifth = fromToken(0).map((_, i) => i === 5);
      expect(isNaNs({ ...lane, queries: spoil(lane.queries, 8 * 5) })).to.deep.equal(fifth);
      expect(isNaNs({ ...lane, keys: spoil(lane.keys, 8 * 5) })).to.deep.equal(fromToken(2));
      const values = rowsOf(run({ ...lane, values: spoil(lane.values, 8 * 5 + 1) }), 8);
      expect(values.map((row) => Number.isNaN(row[1]))).to.deep.equal(fromToken(2));
      // A row of int8 is NaN as a whole.
      if (dtype === 'int8') expect(values.map((row) => row.every(Number.isNaN))).to.deep.equal(fromToken(2));
    });

    it('agrees over thousands of keys', () => {
      const shape = { position: 5000, numTokens: 3, numHeads: 3, dim: 64, valueDim: 64, window: 0 };
      const lane = randomLane(5, shape, true);
      expect(largestDifference(run(lane), reference(lane, dtype))).to.be.below(NEAR[dtype]);
    });

    it('no sum of a head of 576 channels passes 32 bits', () => {
      const shape = { position: 3, numTokens: 2, numHeads: 1, dim: 576, valueDim: 8, window: 0 };
      const lane = randomLane(7, shape, false);
      // The largest products: codes are 255 but for one channel, and so is the query its highest.
      const largest = {
        ...lane,
        queries: lane.queries.map(() => 1),
        keys: lane.keys.map((_, i) => (i % 576 === 0 ? 0 : 1 + Math.floor(i / 576))),
      };
      expect(largestDifference(run(largest), reference(largest, dtype))).to.be.below(NEAR[dtype]);
    });
  });
}
