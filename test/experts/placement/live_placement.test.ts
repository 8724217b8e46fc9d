import { expect } from 'chai';
import fc from 'fast-check';
import { LivePlacement } from '../../../experts/placement/live_placement.js';
import { placementFrom, withLayers, withoutRanks } from '../../../experts/placement/placement.js';

const table = (...experts: number[]): Int32Array => Int32Array.from(experts);
const FIRST = placementFrom(0, 3, 3, [table(0, 1, 1, 2, 2, 0), table(0, 1, 2, 0, 1, 2)]);

/** Four ranks with three slots each, one layer of five experts, some slots empty. */
const placements = fc
  .array(fc.integer({ min: -1, max: 4 }), { minLength: 12, maxLength: 12 })
  .map((experts) => placementFrom(7, 4, 5, [table(...experts)]));

describe('the placement in force', () => {
  it('is the first one, the same object, until experts move or ranks are lost', () => {
    const live = new LivePlacement(FIRST);
    expect(live.whole).to.equal(FIRST);
    expect(live.left).to.equal(FIRST);
    expect(live).to.deep.include({ version: 0, lost: [], ranks: [0, 1, 2] });
    live.enter([]);
    expect(live.left).to.equal(FIRST);
  });

  it('lacks what lost ranks held, in later versions too, and the whole one has it', () => {
    const live = new LivePlacement(FIRST);
    live.enter([2]);
    expect(live.left).to.deep.equal(withoutRanks(FIRST, [2]));
    const { left } = live;
    expect(live.left).to.equal(left);
    const next = withLayers(FIRST, 1, [{ moeLayer: 1, phy2log: table(2, 1, 0, 1, 0, 2) }]);
    live.commit(next);
    expect(live.whole).to.equal(next);
    expect(live.version).to.equal(1);
    expect(live.left).to.deep.equal(withoutRanks(next, [2]));
    live.enter([2, 0]);
    expect(live).to.deep.include({ lost: [0, 2], ranks: [1] });
    expect(live.left.phy2log).to.deep.equal([table(-1, -1, 1, 2, -1, -1), table(-1, -1, 0, 1, -1, -1)]);
    live.enter([1, 0, 2]);
    expect(live).to.deep.include({ lost: [0, 1, 2], ranks: [] });
  });

  it('comes back as it was from the ranks that are left, without what lost ranks held', () => {
    fc.assert(
      fc.property(placements, fc.shuffledSubarray([0, 1, 2, 3], { maxLength: 3 }), (placement, lost) => {
        const live = new LivePlacement(placement);
        live.enter(lost);
        const small = live.compacted();
        expect(small.numRanks).to.equal(4 - lost.length);
        expect(live.expanded(small)).to.deep.equal({ ...live.left, version: 8 });
      }),
    );
  });

  it('has nothing in the seat of a rank that joins, whatever a lost one held there', () => {
    const live = new LivePlacement(FIRST, [2]);
    expect(live).to.deep.include({ lost: [2], ranks: [0, 1] });
    live.enter([0]);
    expect(live).to.deep.include({ lost: [0], ranks: [1, 2], version: 0 });
    expect(live.left.phy2log).to.deep.equal([table(-1, -1, 1, 2, -1, -1), table(-1, -1, 2, 0, -1, -1)]);
    live.enter([]);
    expect(live.whole).to.deep.equal(withoutRanks(FIRST, [0, 2]));
    expect(live.left).to.equal(live.whole);
  });

  it('is planned over some ranks alone, and the others hold nothing then', () => {
    const live = new LivePlacement(FIRST);
    const some = live.compacted([0, 2]);
    expect(some.phy2log).to.deep.equal([table(0, 1, 2, 0), table(0, 1, 1, 2)]);
    expect(live.expanded(some, [0, 2])).to.deep.equal({ ...withoutRanks(FIRST, [1]), version: 1 });
  });

  it('takes plans with fewer slots per rank than the job has', () => {
    const live = new LivePlacement(placementFrom(0, 3, 3, [table(0, 1, 2, 0, 1, 2, 0, 1, 2)]));
    live.enter([1]);
    const plan = placementFrom(1, 2, 3, [table(0, 1, 2, -1)]);
    expect(live.expanded(plan).phy2log).to.deep.equal([table(0, 1, -1, -1, -1, -1, 2, -1, -1)]);
  });
});

describe('a later version of a placement', () => {
  it('has other tables in the layers that are named, and is whole in itself', () => {
    const next = withLayers(FIRST, 4, [{ moeLayer: 0, phy2log: table(2, 2, 1, 1, 0, 0) }]);
    expect(next).to.deep.equal(placementFrom(4, 3, 3, [table(2, 2, 1, 1, 0, 0), FIRST.phy2log[1]!]));
    expect(FIRST.phy2log[0]).to.deep.equal(table(0, 1, 1, 2, 2, 0));
  });
});
