import { expect } from 'chai';
import fc from 'fast-check';
import { randomLane, runLane } from '../../../kit/kernels/kernel_lanes.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { keyWidth, loadedRef, randomRows, runStoredLane, type StoredRows } from '../../../kit/kernels/stored_lanes.js';
import { isSameBits } from '../../../refs/random.js';

const stores = fc.record({
  dtype: fc.constantFrom('bf16' as const, 'int8' as const),
  firstDim: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(48, 64)),
  restDim: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
  isJoint: fc.boolean(),
  blockSize: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 70 })),
  seed: fc.nat(),
});
const shapes = fc.record({
  position: fc.oneof(fc.constant(0), fc.nat(150)),
  numTokens: fc.oneof(fc.constant(1), fc.nat(20)),
  numHeads: fc.oneof(fc.integer({ min: 1, max: 7 }), fc.constantFrom(16, 17)),
  window: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
});

describe('attention over rows of bf16 and int8', () => {
  const place = new KernelValues();
  afterEach(() => {
    place.free();
    place.memory.kernels.setTile(2);
  });

  const laneFor = (stored: StoredRows, shape: Parameters<typeof keyShape>[1], rows: readonly Float32Array[]) => ({
    ...randomLane(stored.seed, keyShape(stored, shape), false),
    ...loadedRef(stored, rows),
  });
  const keyShape = (
    stored: StoredRows,
    shape: {
      readonly position: number;
      readonly numTokens: number;
      readonly numHeads: number;
      readonly window: number;
    },
  ) => ({ ...shape, dim: keyWidth(stored), valueDim: stored.firstDim });

  it('has the bits of attention over the floats that they stand for, whatever lies where no row is', () => {
    const tiles = fc.constantFrom(2, 4);
    fc.assert(
      fc.property(stores, shapes, tiles, fc.nat(255), (stored, shape, tile, stale) => {
        place.memory.kernels.setTile(tile);
        const rows = randomRows(stored, shape.position + shape.numTokens);
        const lane = laneFor(stored, shape, rows);
        const expected = runLane(place, lane, { blockSize: 16, seed: 0, form: 'rows', dtype: 'f32' });
        place.free();
        const got = runStoredLane(place, lane, stored, rows, stale);
        place.free();
        expect(isSameBits(got, expected)).to.equal(true);
      }),
      { numRuns: 300 },
    );
  });

  it('a row of int8 with a value that is no number makes NaN of the tokens that see it, and of no other', () => {
    const stored: StoredRows = { dtype: 'int8', firstDim: 18, restDim: 6, isJoint: true, blockSize: 4, seed: 1 };
    const shape = { position: 20, numTokens: 4, numHeads: 2, window: 0 };
    const rows = randomRows(stored, 24);
    const lane = laneFor(stored, shape, rows);
    const clean = runStoredLane(place, lane, stored, rows, 0);
    rows[22]![20] = Infinity;
    const spoilt = runStoredLane(place, lane, stored, rows, 0);
    const before = 2 * 2 * 18;
    expect(isSameBits(spoilt.subarray(0, before), clean.subarray(0, before))).to.equal(true);
    expect(spoilt.subarray(before).every(Number.isNaN)).to.equal(true);
  });
});
