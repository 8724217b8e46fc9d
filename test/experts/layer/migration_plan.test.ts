import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../compute/base/errors.js';
import {
  changedLayers,
  copiesFor,
  expertsOf,
  scheduleOf,
  type ExpertCopy,
} from '../../../experts/layer/migration_plan.js';
import { createPlacement, placementFrom, withoutRanks } from '../../../experts/placement/placement.js';
import {
  bytesBefore,
  matrixRowsOf,
  maxRowBytes,
  numRowsOf,
  rowBytes,
  rowsWithin,
  weightsOf,
  type ExpertShape,
} from '../../../compute/base/weight_rows.js';
import { WEIGHT_DTYPES, weightRowBytes } from '../../../compute/base/weight_matrix.js';
import { errorOf } from '../../kit/rejects.js';

const shapes = fc.record({
  hidden: fc.integer({ min: 1, max: 40 }),
  intermediate: fc.integer({ min: 1, max: 40 }),
  dtype: fc.constantFrom(...WEIGHT_DTYPES),
  hasBias: fc.boolean(),
});
const NUM_EXPERTS = 5;
const NUM_RANKS = 4;

/** Every expert at least once, the rest of the slots at random or empty. */
const placements = fc
  .array(fc.integer({ min: -1, max: NUM_EXPERTS - 1 }), {
    minLength: 3 * NUM_RANKS - NUM_EXPERTS,
    maxLength: 3 * NUM_RANKS - NUM_EXPERTS,
  })
  .chain((more) => fc.shuffledSubarray([...Array(NUM_EXPERTS).keys(), ...more], { minLength: 3 * NUM_RANKS }))
  .map((table) => placementFrom(0, NUM_RANKS, NUM_EXPERTS, [Int32Array.from(table)]));

describe('rows of an expert', () => {
  it('within a budget are as many as fit, of its matrices and biases', () => {
    fc.assert(
      fc.property(shapes, fc.nat(), fc.nat(2000), (shape: ExpertShape, at, numBytes) => {
        const numRows = numRowsOf(shape);
        const from = at % (numRows + 1);
        const to = rowsWithin(shape, from, numBytes);
        expect(to).to.be.at.least(from).and.at.most(numRows);
        expect(rowBytes(shape, from, to)).to.be.at.most(numBytes);
        if (to < numRows) expect(rowBytes(shape, from, to + 1)).to.be.above(numBytes);
      }),
    );
  });

  it('make up its weights, and matrix by matrix they are the same rows', () => {
    fc.assert(
      fc.property(shapes, fc.nat(), fc.nat(), (shape: ExpertShape, a, b) => {
        const numRows = numRowsOf(shape);
        const bytes = Uint8Array.from({ length: bytesBefore(shape, numRows) }, (_, i) => i % 251);
        const weights = weightsOf(shape, bytes);
        const { hidden, intermediate } = shape;
        const sizes = [weights.gate, weights.up, weights.down].map(({ rows, columns }) => [rows, columns]);
        expect(sizes).to.deep.equal([
          [intermediate, hidden],
          [intermediate, hidden],
          [hidden, intermediate],
        ]);
        const [from, to] = [a % (numRows + 1), b % (numRows + 1)].sort((x, y) => x - y) as [number, number];
        expect(weights.biases?.length).to.equal(shape.hasBias === true ? 2 * intermediate + hidden : undefined);
        const pieces = matrixRowsOf(shape, from, to).map((rows) => {
          if (rows.name === 'biases') return Buffer.from(weights.biases!.slice(rows.from, rows.to).buffer);
          const { bytes: own, columns } = weights[rows.name];
          const size = weightRowBytes(shape.dtype, columns);
          return own.subarray(rows.from * size, rows.to * size);
        });
        expect(Buffer.concat(pieces).equals(bytes.subarray(bytesBefore(shape, from), bytesBefore(shape, to)))).to.equal(
          true,
        );
      }),
    );
  });
});

describe('a schedule of copies', () => {
  const copies = fc.array(
    fc.record({
      moeLayer: fc.constant(0),
      logical: fc.nat(9),
      from: fc.option(fc.nat(3), { nil: null }),
      to: fc.nat(3),
    }),
    { maxLength: 12 },
  );

  it('moves every row once, in order, and no rank sends or receives more than the budget in a step', () => {
    fc.assert(
      fc.property(shapes, copies, fc.nat(3000), (shape: ExpertShape, all: readonly ExpertCopy[], more) => {
        const budget = maxRowBytes(shape) + more;
        const reached = all.map(({ from }) => (from === null ? numRowsOf(shape) : 0));
        for (const chunks of scheduleOf(all, () => shape, budget)) {
          expect(chunks.length).to.be.above(0);
          const [sent, received] = [new Map<number, number>(), new Map<number, number>()];
          for (const { copy, fromRow, toRow } of chunks) {
            const { from, to } = all[copy]!;
            expect(fromRow).to.equal(reached[copy]);
            reached[copy] = toRow;
            const bytes = rowBytes(shape, fromRow, toRow);
            sent.set(from!, (sent.get(from!) ?? 0) + bytes);
            received.set(to, (received.get(to) ?? 0) + bytes);
          }
          for (const bytes of [...sent.values(), ...received.values()]) expect(bytes).to.be.at.most(budget);
        }
        expect(reached.every((row) => row === numRowsOf(shape))).to.equal(true);
      }),
    );
  });

  it('brings about as much in each step, and has no more of them for that', () => {
    const shape = { hidden: 16, intermediate: 8, dtype: 'f32' } as const;
    const all = Array.from({ length: 10 }, (_, logical) => ({ moeLayer: 0, logical, from: logical % 2, to: 2 }));
    const eachBytes = rowBytes(shape, 0, numRowsOf(shape));
    const bytesOf = (budget: number): number[] =>
      scheduleOf(all, () => shape, budget).map((chunks) =>
        chunks.reduce((sum, c) => sum + rowBytes(shape, c.fromRow, c.toRow), 0),
      );
    expect(bytesOf(10 * eachBytes)).to.deep.equal([10 * eachBytes]);
    expect(bytesOf(9.5 * eachBytes)).to.deep.equal([
      5 * eachBytes + maxRowBytes(shape),
      5 * eachBytes - maxRowBytes(shape),
    ]);
    expect(bytesOf(eachBytes)).to.deep.equal(all.map(() => eachBytes));
  });

  it('refuses a budget below a row', async () => {
    const shape = { hidden: 16, intermediate: 8, dtype: 'f32' } as const;
    const copy = { moeLayer: 0, logical: 0, from: 0, to: 1 };
    const error = await errorOf(ExpertError, () => scheduleOf([copy], () => shape, 63));
    expect(error.message).to.include('63 bytes per step, a row has 64');
  });
});

describe('what has to be copied', () => {
  it('is exactly what ranks lack, from ranks that hold it, and nothing when nothing changes', () => {
    fc.assert(
      fc.property(placements, placements, (current, next) => {
        const copies = copiesFor(current, next, [0], NUM_RANKS);
        for (let rank = 0; rank < NUM_RANKS; rank++) {
          const held = expertsOf(current, 0, rank);
          const got = copies.filter(({ to }) => to === rank).map(({ logical }) => logical);
          expect(new Set(got).size).to.equal(got.length);
          expect(got).to.deep.equal(expertsOf(next, 0, rank).filter((logical) => !held.includes(logical)));
        }
        for (const { from, logical } of copies) expect(expertsOf(current, 0, from!)).to.include(logical);
        expect(copiesFor(current, current, [0], NUM_RANKS)).to.deep.equal([]);
        expect(changedLayers(current, current)).to.deep.equal([]);
        if (copies.length > 0) expect(changedLayers(current, next)).to.deep.equal([0]);
      }),
    );
  });

  it('comes from the own node where a rank there holds it, then from who sends least, and from disk where none holds it', () => {
    // Nodes {0, 1} and {2, 3}; expert 0 on ranks 0, 1 and 2.
    const table = Int32Array.of(0, 1, 0, 2, 0, 3, 4, -1);
    const current = placementFrom(0, 4, 5, [table]);
    const next = placementFrom(1, 4, 5, [Int32Array.of(2, 1, 0, 2, 0, 3, 0, 4)]);
    expect(copiesFor(current, next, [0], 2)).to.deep.equal([
      { moeLayer: 0, logical: 2, from: 1, to: 0 },
      { moeLayer: 0, logical: 0, from: 2, to: 3 },
    ]);
    // On one node all of 0, 1 and 2 are near; rank 1 sends already.
    expect(copiesFor(current, next, [0], 4)[1]).to.deep.equal({ moeLayer: 0, logical: 0, from: 0, to: 3 });
    const left = withoutRanks(current, [1]);
    expect(copiesFor(left, next, [0], 4)[0]).to.deep.equal({ moeLayer: 0, logical: 2, from: null, to: 0 });
  });

  it('a slot that another expert of the same rank takes over is no reason to move', () => {
    const current = createPlacement('linear', { numLayers: 2, numExperts: 4, numRanks: 2 });
    const next = placementFrom(1, 2, 4, [Int32Array.of(1, 0, 3, 2), Int32Array.of(0, 2, 1, 3)]);
    expect(changedLayers(current, next)).to.deep.equal([1]);
  });
});
