import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../compute/base/errors.js';
import {
  createPlacement,
  degradedRows,
  PLACEMENT_STRATEGIES,
  placementFrom,
  rankOf,
  ranksOf,
  withoutRanks,
  type Placement,
  type PlacementStrategy,
} from '../../../experts/placement/placement.js';
import { errorOf } from '../../kit/rejects.js';

/** Experts of each rank, −1 = empty slot. */
function table(strategy: PlacementStrategy, numExperts: number, numRanks: number): number[][] {
  const { phy2log, slotsPerRank } = createPlacement(strategy, { numLayers: 1, numExperts, numRanks });
  return Array.from({ length: numRanks }, (_, rank) => [
    ...phy2log[0]!.subarray(rank * slotsPerRank, (rank + 1) * slotsPerRank),
  ]);
}

/** The lowest replica of each expert, −1 where there is none. */
const firstOf = ({ log2phy }: Placement, layer: number, topkIdx: Int32Array): Int32Array =>
  topkIdx.map((logical) => (logical < 0 ? -1 : (log2phy[layer]![logical]![0] ?? -1)));

const shapes = fc.record({
  strategy: fc.constantFrom(...PLACEMENT_STRATEGIES),
  numLayers: fc.integer({ min: 1, max: 3 }),
  numExperts: fc.integer({ min: 1, max: 40 }),
  numRanks: fc.integer({ min: 1, max: 12 }),
});

/** phy2log tables with empty slots and any number of replicas, none included. */
const tables = fc
  .record({
    numExperts: fc.integer({ min: 1, max: 8 }),
    numRanks: fc.integer({ min: 1, max: 4 }),
    slots: fc.integer({ min: 1, max: 5 }),
  })
  .chain(({ numExperts, numRanks, slots }) => {
    const length = numRanks * slots;
    const layer = fc.array(fc.integer({ min: -1, max: numExperts - 1 }), { minLength: length, maxLength: length });
    return fc.record({
      numExperts: fc.constant(numExperts),
      numRanks: fc.constant(numRanks),
      phy2log: fc.array(
        layer.map((values) => Int32Array.from(values)),
        { minLength: 1, maxLength: 3 },
      ),
    });
  });

describe('placement', () => {
  it('linear gives contiguous runs, the first ranks one expert more where they do not divide', () => {
    expect(table('linear', 8, 4)).to.deep.equal([
      [0, 1],
      [2, 3],
      [4, 5],
      [6, 7],
    ]);
    expect(table('linear', 8, 3)).to.deep.equal([
      [0, 1, 2],
      [3, 4, 5],
      [6, 7, -1],
    ]);
    expect(table('linear', 7, 3)).to.deep.equal([
      [0, 1, 2],
      [3, 4, -1],
      [5, 6, -1],
    ]);
  });

  it('round_robin deals the experts out', () => {
    expect(table('round_robin', 8, 4)).to.deep.equal([
      [0, 4],
      [1, 5],
      [2, 6],
      [3, 7],
    ]);
    expect(table('round_robin', 7, 3)).to.deep.equal([
      [0, 3, 6],
      [1, 4, -1],
      [2, 5, -1],
    ]);
  });

  it('ranks beyond the number of experts hold none', () => {
    for (const strategy of PLACEMENT_STRATEGIES) {
      expect(table(strategy, 2, 5)).to.deep.equal([[0], [1], [-1], [-1], [-1]]);
    }
  });

  it('holds every expert once, and no rank more than one expert over another', () => {
    fc.assert(
      fc.property(shapes, ({ strategy, ...shape }) => {
        const placement = createPlacement(strategy, shape);
        const held = table(strategy, shape.numExperts, shape.numRanks).map((slots) => slots.filter((e) => e >= 0));
        expect(held.flat().sort((a, b) => a - b)).to.deep.equal(Array.from({ length: shape.numExperts }, (_, e) => e));
        const sizes = held.map(({ length }) => length);
        expect(Math.max(...sizes) - Math.min(...sizes)).to.be.at.most(1);
        expect(placement.phy2log).to.have.length(shape.numLayers);
        expect(placement.logcnt.every((counts) => counts.every((count) => count === 1))).to.equal(true);
      }),
    );
  });

  it('phy2log and log2phy are inverse to each other, and logcnt counts the replicas', () => {
    fc.assert(
      fc.property(tables, ({ numExperts, numRanks, phy2log }) => {
        const placement = placementFrom(7, numRanks, numExperts, phy2log);
        expect(placement.version).to.equal(7);
        expect(placement.slotsPerRank * numRanks).to.equal(phy2log[0]!.length);
        phy2log.forEach((slots, layer) => {
          const log2phy = placement.log2phy[layer]!;
          log2phy.forEach((replicas, logical) => {
            const expected = [...slots.keys()].filter((physical) => slots[physical] === logical);
            expect([...replicas]).to.deep.equal(expected);
            expect(placement.logcnt[layer]![logical]).to.equal(expected.length);
          });
          const numHeld = slots.filter((logical) => logical >= 0).length;
          expect(placement.logcnt[layer]!.reduce((a, b) => a + b, 0)).to.equal(numHeld);
        });
      }),
    );
  });

  it('rankOf is the rank whose slots hold the physical expert', () => {
    const placement = createPlacement('linear', { numLayers: 1, numExperts: 7, numRanks: 3 });
    const ranks = Array.from({ length: 9 }, (_, physical) => rankOf(placement, physical));
    expect(ranks).to.deep.equal([0, 0, 0, 1, 1, 1, 2, 2, 2]);
  });

  it('ranksOf are the ranks of physical experts, and keeps −1', () => {
    const placement = createPlacement('linear', { numLayers: 1, numExperts: 7, numRanks: 3 });
    expect([...ranksOf(placement, Int32Array.of(8, -1, 0, 3, 2))]).to.deep.equal([2, -1, 0, 1, 0]);
  });

  it('without a rank, choices fall on the lowest replica elsewhere, and an expert without any becomes −1', () => {
    const placement = placementFrom(3, 3, 4, [Int32Array.of(0, 1, 1, 2, 2, 3)]);
    const left = withoutRanks(placement, [0]);
    expect([...left.phy2log[0]!]).to.deep.equal([-1, -1, 1, 2, 2, 3]);
    expect([...left.logcnt[0]!]).to.deep.equal([0, 1, 2, 1]);
    expect([...firstOf(left, 0, Int32Array.of(0, 1, 2, 3, -1))]).to.deep.equal([-1, 2, 3, 5, -1]);
    const last = withoutRanks(placement, [0, 2]);
    expect([...firstOf(last, 0, Int32Array.of(0, 1, 2, 3, -1))]).to.deep.equal([-1, 2, 3, -1, -1]);
    expect([...firstOf(placement, 0, Int32Array.of(0, 1, 2, 3, -1))]).to.deep.equal([0, 1, 3, 5, -1]);
  });

  it('without any ranks, every choice names a live slot of its expert wherever one is left', () => {
    const lossOf = tables.chain((table) =>
      fc.record({ table: fc.constant(table), lost: fc.subarray([...Array(table.numRanks).keys()]) }),
    );
    fc.assert(
      fc.property(lossOf, ({ table: { numRanks, numExperts, phy2log }, lost }) => {
        const full = placementFrom(1, numRanks, numExperts, phy2log);
        const left = withoutRanks(full, lost);
        expect(left).to.include({ version: 1, numRanks, slotsPerRank: full.slotsPerRank });
        expect(left.numExperts).to.deep.equal(full.numExperts);
        const every = Int32Array.from({ length: numExperts }, (_, e) => e);
        phy2log.forEach((slots, layer) => {
          const isLive = (physical: number): boolean => !lost.includes(rankOf(full, physical));
          const expected = [...every].map((e) => slots.findIndex((logical, p) => logical === e && isLive(p)));
          expect([...firstOf(left, layer, every)]).to.deep.equal(expected);
        });
      }),
    );
  });

  it('degraded are the rows with a choice of any layer that no rank holds any more, each once', () => {
    const placement = placementFrom(0, 2, 3, [Int32Array.of(0, 1, 1, 2), Int32Array.of(0, 1, 2, 0)]);
    const choices = [Int32Array.of(0, 1, 1, 2, 2, 1, -1, 1), Int32Array.of(0, 2, 1, 2, 0, 2, 1, -1)];
    expect(degradedRows(placement, choices, 2)).to.deep.equal([]);
    expect(degradedRows(withoutRanks(placement, [0]), choices, 2)).to.deep.equal([0, 1, 3]);
    expect(degradedRows(withoutRanks(placement, [1]), choices, 2)).to.deep.equal([0, 1, 2]);
    expect(degradedRows(withoutRanks(placement, [0, 1]), choices, 2)).to.deep.equal([0, 1, 2, 3]);
  });

  it('refuses no ranks and no experts', async () => {
    for (const shape of [
      { numLayers: 1, numExperts: 4, numRanks: 0 },
      { numLayers: 1, numExperts: 0, numRanks: 4 },
    ]) {
      const error = await errorOf(ExpertError, () => createPlacement('linear', shape));
      expect(error.code).to.equal('INVALID_ARGUMENT');
    }
  });
});
