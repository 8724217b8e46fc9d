import { expect } from 'chai';
import fc from 'fast-check';
import { randomLane, runLane, tokensOf, type LaneCase } from '../../../kit/kernels/kernel_lanes.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import {
  isPadding,
  keyWidth,
  loadedRef,
  randomRows,
  runStoredLane,
  type StoredRows,
} from '../../../kit/kernels/stored_lanes.js';
import { attendRowRef } from '../../../refs/attention_ref.js';
import { isSameBits, largestDifference } from '../../../refs/random.js';

const storesOf = (dtype: 'bf16' | 'int8'): fc.Arbitrary<StoredRows> =>
  fc.record({
    dtype: fc.constant(dtype),
    firstDim: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(48, 64)),
    restDim: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
    isNarrow: fc.boolean(),
    blockSize: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 70 })),
    seed: fc.nat(),
  });

interface Shape {
  readonly position: number;
  readonly numTokens: number;
  readonly numHeads: number;
}
const shapes: fc.Arbitrary<Shape> = fc.record({
  position: fc.oneof(fc.constant(0), fc.nat(150)),
  numTokens: fc.oneof(fc.constant(1), fc.nat(20)),
  numHeads: fc.oneof(fc.integer({ min: 1, max: 10 }), fc.constantFrom(16, 17)),
});
/** What a tile may have of rows: changes no bits. */
const tiles = fc.constantFrom(2, 4);

/** A lane of floats that is to attend as the stored one does. */
function laneFor(stored: StoredRows, shape: Shape, rows: readonly Float32Array[]): LaneCase {
  const dim = keyWidth(stored);
  const lane = randomLane(stored.seed, { ...shape, window: 0, dim, valueDim: stored.firstDim }, false);
  const queries = lane.queries.map((value, i) => (isPadding(stored, i % dim) ? 0 : value));
  return { ...lane, queries, ...loadedRef(stored, rows) };
}

/** In float64. */
function reference({ queries, keys, values, dim, valueDim, position, numHeads, softmaxScale }: LaneCase): number[] {
  const rowsOf = (all: Float32Array, width: number): Float32Array[] =>
    Array.from({ length: all.length / width }, (_, i) => all.subarray(i * width, (i + 1) * width));
  return rowsOf(queries, dim).flatMap((query, row) => {
    const end = position + Math.floor(row / numHeads) + 1;
    return attendRowRef(query, rowsOf(keys, dim).slice(0, end), rowsOf(values, valueDim).slice(0, end), softmaxScale);
  });
}

describe('attention over rows that are keys and values', () => {
  const place = new KernelValues();
  afterEach(() => {
    place.free();
    place.memory.kernels.setTile(2);
  });

  const run = (lane: LaneCase, stored: StoredRows, rows: readonly Float32Array[], stale = 0): Float32Array => {
    const out = runStoredLane(place, lane, stored, rows, stale);
    place.free();
    return out;
  };

  it('of bf16 has the bits of attention over the floats that they stand for', () => {
    fc.assert(
      fc.property(storesOf('bf16'), shapes, tiles, (stored, shape, tile) => {
        place.memory.kernels.setTile(tile);
        const rows = randomRows(stored, shape.position + shape.numTokens);
        const lane = laneFor(stored, shape, rows);
        const expected = runLane(place, lane, { blockSize: 16, seed: 0, form: 'rows', dtype: 'f32' });
        place.free();
        expect(isSameBits(run(lane, stored, rows), expected)).to.equal(true);
      }),
      { numRuns: 200 },
    );
  });

  it('of int8 agrees with the float64 reference over the floats that they stand for', () => {
    fc.assert(
      fc.property(storesOf('int8'), shapes, tiles, (stored, shape, tile) => {
        place.memory.kernels.setTile(tile);
        const rows = randomRows(stored, shape.position + shape.numTokens);
        const lane = laneFor(stored, shape, rows);
        expect(largestDifference(run(lane, stored, rows), reference(lane))).to.be.below(2e-3);
      }),
      { numRuns: 200 },
    );
  });

  it('of int8 has the bits of attention over panels with the same rows as keys and values', () => {
    fc.assert(
      fc.property(storesOf('int8'), shapes, tiles, (any, shape, tile) => {
        place.memory.kernels.setTile(tile);
        const stored = { ...any, restDim: 0 };
        const rows = randomRows(stored, shape.position + shape.numTokens);
        const [all, dim] = [Float32Array.from(rows.flatMap((row) => [...row])), stored.firstDim];
        const queries = laneFor(stored, shape, rows).queries.filter((_, i) => i % keyWidth(stored) < dim);
        const lane = randomLane(0, { ...shape, window: 0, dim, valueDim: dim }, false);
        const panels = { ...lane, queries, keys: all, values: all };
        const expected = runLane(place, panels, { blockSize: 16, seed: 0, form: 'panels', dtype: 'int8' });
        place.free();
        const padded = { ...laneFor(stored, shape, rows), softmaxScale: lane.softmaxScale };
        expect(isSameBits(run(padded, stored, rows), expected)).to.equal(true);
      }),
      { numRuns: 100 },
    );
  });

  for (const dtype of ['bf16', 'int8'] as const) {
    it(`of ${dtype} gives a token the same bits alone or among others, for any chunks, blocks and tiles, whatever lies where no row is`, () => {
      fc.assert(
        fc.property(storesOf(dtype), shapes, tiles, fc.nat(255), (stored, shape, tile, stale) => {
          place.memory.kernels.setTile(2);
          const rows = randomRows(stored, shape.position + shape.numTokens);
          const lane = laneFor(stored, shape, rows);
          const whole = run(lane, { ...stored, blockSize: 16 }, rows);
          place.memory.kernels.setTile(tile);
          const size = 1 + (stored.seed % 7);
          const parts = [];
          for (let token = 0; token < lane.numTokens; token += size) {
            const some = tokensOf(lane, token, Math.min(size, lane.numTokens - token));
            parts.push(...run(some, stored, rows.slice(0, some.position + some.numTokens), stale));
          }
          expect(isSameBits(Float32Array.from(parts), whole)).to.equal(true);
        }),
        { numRuns: 200 },
      );
    });
  }

  for (const [what, channel, isNarrow] of [
    ['its latent', 3, false],
    ['the rest', 20, false],
    ['a narrow rest', 20, true],
  ] as const) {
    it(`of int8 with a value that is no number in ${what} makes NaN of the tokens that see it, and of no other`, () => {
      const stored: StoredRows = { dtype: 'int8', firstDim: 18, restDim: 6, isNarrow, blockSize: 4, seed: 1 };
      const shape = { position: 20, numTokens: 4, numHeads: 2 };
      const rows = randomRows(stored, 24);
      const lane = laneFor(stored, shape, rows);
      const clean = run(lane, stored, rows);
      rows[22]![channel] = Infinity;
      const spoilt = run(lane, stored, rows);
      const before = 2 * 2 * 18;
      expect(isSameBits(spoilt.subarray(0, before), clean.subarray(0, before))).to.equal(true);
      expect(spoilt.subarray(before).every(Number.isNaN)).to.equal(true);
    });
  }
});
