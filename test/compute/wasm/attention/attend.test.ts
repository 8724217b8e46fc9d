import { expect } from 'chai';
import fc from 'fast-check';
import { inChunks, randomLane, runLane, type Blocks, type LaneCase } from '../../../kit/kernels/kernel_lanes.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { attendRowRef } from '../../../refs/attention_ref.js';
import { isSameBits, largestDifference } from '../../../refs/random.js';

const rowsOf = (values: Float32Array, width: number): Float32Array[] =>
  Array.from({ length: values.length / width }, (_, i) => values.subarray(i * width, (i + 1) * width));

function reference(lane: LaneCase): number[] {
  const { position, numHeads, dim, valueDim, window, softmaxScale, sinks } = lane;
  const [keys, values] = [rowsOf(lane.keys, dim), rowsOf(lane.values, valueDim)];
  return rowsOf(lane.queries, dim).flatMap((query, row) => {
    const end = position + Math.floor(row / numHeads) + 1;
    const start = window === 0 ? 0 : Math.max(0, end - window);
    const sink = sinks?.[row % numHeads];
    return attendRowRef(query, keys.slice(start, end), values.slice(start, end), softmaxScale, sink);
  });
}

const FORMS = ['panels', 'rows', 'interleaved rows'] as const;
const PLAIN: Blocks = { blockSize: 16, seed: 0, form: 'panels', dtype: 'f32' };

const shapes = fc.record({
  position: fc.oneof(fc.constant(0), fc.nat(150)),
  numTokens: fc.oneof(fc.constant(1), fc.nat(40)),
  numHeads: fc.integer({ min: 1, max: 7 }),
  dim: fc.integer({ min: 1, max: 40 }),
  valueDim: fc.integer({ min: 1, max: 40 }),
  window: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 60 })),
});
const blocks = fc.record({
  blockSize: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 21, max: 70 })),
  seed: fc.nat(),
  form: fc.constantFrom(...FORMS),
  dtype: fc.constant('f32' as const),
});
/** What a tile may have of rows: changes no bits. */
const tileRows = fc.constantFrom(2, 4);

describe('attention kernel', () => {
  const place = new KernelValues();
  afterEach(() => {
    place.free();
    place.memory.kernels.setTile(2);
  });

  const run = (lane: LaneCase, where = PLAIN, stale = 0): Float32Array => {
    const out = runLane(place, lane, where, stale);
    place.free();
    return out;
  };

  it('agrees with the float64 reference for any shapes, blocks, windows and sinks', () => {
    fc.assert(
      fc.property(shapes, blocks, tileRows, fc.nat(), fc.boolean(), (shape, where, numRows, seed, hasSinks) => {
        place.memory.kernels.setTile(numRows);
        const lane = randomLane(seed, shape, hasSinks);
        expect(largestDifference(run(lane, where), reference(lane))).to.be.below(3e-6);
      }),
      { numRuns: 200 },
    );
  });

  it('gives a token the same bits alone or among others, for any chunks, blocks, forms and tiles', () => {
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

  it('a head has the same bits alone and in its group', () => {
    const lane = randomLane(1, { position: 30, numTokens: 5, numHeads: 5, dim: 20, valueDim: 24, window: 0 }, true);
    const whole = rowsOf(run(lane), 24);
    for (let head = 0; head < 5; head++) {
      const queries = rowsOf(lane.queries, 20).filter((_, row) => row % 5 === head);
      const alone = { ...lane, numHeads: 1, queries: Float32Array.from(queries.flatMap((row) => [...row])) };
      const got = rowsOf(run({ ...alone, sinks: lane.sinks!.slice(head, head + 1) }), 24);
      got.forEach((row, t) => expect(isSameBits(row, whole[t * 5 + head]!)).to.equal(true));
    }
  });

  it('what is in blocks where no token was written may be anything', () => {
    fc.assert(
      fc.property(shapes, blocks, tileRows, fc.nat(), (shape, where, numRows, seed) => {
        place.memory.kernels.setTile(numRows);
        const lane = randomLane(seed, shape, false);
        const clean = run(lane, where);
        for (const stale of [NaN, Infinity]) expect(isSameBits(run(lane, where, stale), clean)).to.equal(true);
      }),
      { numRuns: 100 },
    );
  });

  for (const window of [0, 1, 10]) {
    it(`what a token doesn't see may be anything: window ${window}`, () => {
      const lane = randomLane(2, { position: 20, numTokens: 9, numHeads: 3, dim: 12, valueDim: 17, window }, false);
      const whole = rowsOf(run(lane), 3 * 17);
      for (let t = 0; t < 9; t++) {
        const end = 20 + t + 1;
        const isSeen = (key: number): boolean => key < end && (window === 0 || key >= end - window);
        for (const [bad, form] of [NaN, Infinity].flatMap((bad) => FORMS.map((form) => [bad, form] as const))) {
          const spoilt = (values: Float32Array, width: number): Float32Array =>
            values.map((value, i) => (isSeen(Math.floor(i / width)) ? value : bad));
          const keysAndValues = { keys: spoilt(lane.keys, 12), values: spoilt(lane.values, 17) };
          const rows = run({ ...lane, ...keysAndValues }, { ...PLAIN, form });
          expect(isSameBits(rowsOf(rows, 3 * 17)[t]!, whole[t]!)).to.equal(true);
        }
      }
    });
  }

  it('NaN in a query, key or value makes NaN of the rows that see it', () => {
    const shape = { position: 3, numTokens: 4, numHeads: 2, dim: 8, valueDim: 8, window: 0 };
    const spoil = (values: Float32Array, at: number): Float32Array =>
      values.map((value, i) => (i === at ? NaN : value));
    const lane = randomLane(3, shape, false);
    const isNaNs = (spoilt: LaneCase): boolean[] => rowsOf(run(spoilt), 8).map((row) => row.every(Number.isNaN));
    const fromToken = (token: number): boolean[] => Array.from({ length: 8 }, (_, row) => row >= 2 * token);
    expect(isNaNs({ ...lane, queries: spoil(lane.queries, 8 * 5) })).to.deep.equal(fromToken(0).map((_, i) => i === 5));
    expect(isNaNs({ ...lane, keys: spoil(lane.keys, 8 * 5) })).to.deep.equal(fromToken(2));
    const values = rowsOf(run({ ...lane, values: spoil(lane.values, 8 * 5 + 1) }), 8);
    expect(values.map((row) => Number.isNaN(row[1]))).to.deep.equal(fromToken(2));
    expect(values.every((row) => row.every((value, i) => i === 1 || !Number.isNaN(value)))).to.equal(true);
  });

  it('huge scores choose one value, tiny ones the mean', () => {
    const shape = { position: 5, numTokens: 1, numHeads: 1, dim: 4, valueDim: 4, window: 0 };
    const lane = { ...randomLane(4, shape, false, 1e30), softmaxScale: 1 };
    expect(largestDifference(run(lane), reference(lane))).to.equal(0);
    const flat = { ...lane, softmaxScale: 0 };
    expect(largestDifference(run(flat), reference(flat))).to.be.below(1e-7);
  });

  it('agrees over thousands of keys', () => {
    const shape = { position: 5000, numTokens: 3, numHeads: 3, dim: 64, valueDim: 64, window: 0 };
    const lane = randomLane(5, shape, true);
    expect(largestDifference(run(lane), reference(lane))).to.be.below(2e-6);
  });

  it('a sink that outweighs all keys leaves nothing of the values', () => {
    const shape = { position: 5, numTokens: 2, numHeads: 2, dim: 4, valueDim: 4, window: 0 };
    const lane = { ...randomLane(6, shape, false), sinks: Float32Array.of(500, -500) };
    const rows = rowsOf(run(lane), 4);
    const plain = rowsOf(run({ ...lane, sinks: null }), 4);
    expect([...rows[0]!, ...rows[2]!].every((value) => value === 0)).to.equal(true);
    [1, 3].forEach((row) => expect(isSameBits(rows[row]!, plain[row]!)).to.equal(true));
  });
});
