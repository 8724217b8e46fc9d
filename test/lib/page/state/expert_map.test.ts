import { expect } from 'chai';
import { createPlacement, placementFrom } from '../../../../experts/placement/placement.js';
import { ExpertMap } from '../../../../lib/page/state/expert_map.js';
import { loadPicture, placementPicture } from '../../../../lib/server/live/expert_pictures.js';
import type { LiveModel } from '../../../../lib/server/live/messages.js';

const MODEL: LiveModel = {
  ...{ name: 'm', version: '0', moeLayers: [1, 2], numExperts: 4, numTopk: 1 },
  ...{ backend: 'wasm', contextLength: 8 },
};
const LINEAR = createPlacement('linear', { numLayers: 2, numExperts: 4, numRanks: 2 });
const LOAD = [Float64Array.of(0, 1, 100, 400), Float64Array.of(10, 20, 30, 40)];
const mapOf = (load_LE = LOAD, placement = LINEAR, lost: readonly number[] = []): ExpertMap =>
  ExpertMap.of({ model: MODEL, load: loadPicture(load_LE), placement: placementPicture(placement, lost) });

describe('the map of experts', () => {
  it('has every load to half a step of its byte', () => {
    const map = mapOf();
    for (const [layer, load_E] of LOAD.entries()) {
      for (const [expert, load] of load_E.entries()) {
        const told = map.loadOf({ layer, expert });
        // Bytes are roots: half a step at load x of 400 is about √(x · 400) / 255.
        expect(Math.abs(told - load)).to.be.at.most(Math.sqrt(load * 400) / 255 + 400 / 255 ** 2);
      }
    }
  });

  it('an expert that was chosen once is never told as one that wasn’t', () => {
    const map = mapOf([Float64Array.of(1, 0, 0, 1e7), Float64Array.of(0, 0, 0, 0)]);
    expect(map.loadOf({ layer: 0, expert: 0 })).to.be.above(0);
    expect(map.loadOf({ layer: 0, expert: 1 })).to.equal(0);
    expect(map.relativeLoadOf({ layer: 1, expert: 0 })).to.equal(0);
  });

  it('the most loaded experts are those with the most load against their layer', () => {
    expect(mapOf().hottest(3)).to.deep.equal([
      { layer: 0, expert: 3 }, // 3.19 × the mean
      { layer: 1, expert: 3 }, // 1.6
      { layer: 1, expert: 2 }, // 1.2
    ]);
  });

  it('measures a layer with fewer experts than others by its own mean, and has no expert beyond them', () => {
    const uneven = [Float64Array.of(30, 10), Float64Array.of(10, 20, 30, 40)];
    const placement = createPlacement('linear', { numLayers: 2, numExperts: [2, 4], numRanks: 2 });
    const map = ExpertMap.of({
      model: { ...MODEL, numExpertsByLayer: [2, 4] },
      load: loadPicture(uneven),
      placement: placementPicture(placement, []),
    });
    expect([map.countIn(0), map.countIn(1)]).to.deep.equal([2, 4]);
    expect(map.relativeLoadOf({ layer: 0, expert: 0 })).to.be.closeTo(1.5, 0.02);
    expect(map.relativeLoadOf({ layer: 1, expert: 3 })).to.be.closeTo(1.6, 0.02);
    expect(map.hottest(2)).to.deep.equal([
      { layer: 1, expert: 3 },
      { layer: 0, expert: 0 },
    ]);
    expect([0, 1].map((expert) => map.ranksOf({ layer: 0, expert }))).to.deep.equal([[0], [1]]);
  });

  it('knows the ranks of each replica, and that a layer may be as the one before', () => {
    const table = Int32Array.of(0, 1, 3, -1, 2, 3, 0, -1);
    const picture = placementPicture(placementFrom(7, 2, 4, [table, table]), []);
    expect(picture.phy2logBase64[1]).to.equal(null);
    const map = mapOf(LOAD, placementFrom(7, 2, 4, [table, table]));
    for (const layer of [0, 1]) {
      const ranks = [0, 1, 2, 3].map((expert) => map.ranksOf({ layer, expert }));
      expect(ranks).to.deep.equal([[0, 1], [0], [1], [0, 1]]);
    }
  });

  it('lost ranks hold nothing', () => {
    expect(mapOf(LOAD, LINEAR, [1]).ranksOf({ layer: 0, expert: 3 })).to.deep.equal([]);
  });

  it('is the same map after a delta that tells nothing of experts, and another one otherwise', () => {
    const map = mapOf();
    expect(map.updated({})).to.equal(map);
    const later = map.updated({ load: loadPicture([Float64Array.of(5, 0, 0, 0), Float64Array.of(0, 0, 0, 0)]) });
    expect(later.loadOf({ layer: 0, expert: 0 })).to.equal(5);
    expect(later.ranksOf({ layer: 0, expert: 3 })).to.deep.equal([1]);
  });
});
