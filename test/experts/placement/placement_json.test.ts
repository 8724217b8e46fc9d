import { expect } from 'chai';
import { ExpertError } from '../../../compute/base/errors.js';
import { placementFrom } from '../../../experts/placement/placement.js';
import { placementFromJson, placementToJson } from '../../../experts/placement/placement_json.js';
import { errorOf } from '../../kit/rejects.js';

const SHAPE = { numLayers: 2, numExperts: 3, numRanks: 2 };
const TABLES = [
  [0, 1, 2, -1],
  [2, 0, 1, 2],
];

describe('placement as JSON', () => {
  it('comes back as it was', () => {
    const placement = placementFrom(
      0,
      2,
      3,
      TABLES.map((table) => Int32Array.from(table)),
    );
    const json = placementToJson(placement);
    expect(json).to.deep.equal({ num_ranks: 2, phy2log: TABLES });
    expect(placementFromJson(JSON.parse(JSON.stringify(json)), SHAPE)).to.deep.equal(placement);
  });

  it('other keys and no number of ranks are fine: what `plan --json` prints is a placement too', () => {
    const { phy2log, slotsPerRank } = placementFromJson({ phy2log: TABLES, logcnt: [], balancedness: [1] }, SHAPE);
    expect(phy2log.map((table) => [...table])).to.deep.equal(TABLES);
    expect(slotsPerRank).to.equal(2);
  });

  it('refuses what does not fit the job, naming the place and both numbers', async () => {
    const wrong: [unknown, string][] = [
      [null, 'no "phy2log"'],
      [{}, 'no "phy2log"'],
      [{ phy2log: 'x' }, 'no "phy2log"'],
      [{ num_ranks: 4, phy2log: TABLES }, 'for 4 ranks, and there are 2; plan with --ranks 2'],
      [{ num_ranks: '2', phy2log: TABLES }, 'for "2" ranks'],
      [{ phy2log: [TABLES[0]] }, '1 layers, the model has 2 MoE layers'],
      [{ phy2log: [TABLES[0], 7] }, 'layer 1 of "phy2log" is not a list'],
      [{ phy2log: [TABLES[0], [0, 1, 2, -1, -1, -1]] }, 'layer 1 has 6 slots, layer 0 has 4'],
      [{ phy2log: [[0, 1, 2], [0, 1, 2]] }, "3 slots don't divide by 2 ranks"], // prettier-ignore
      [{ phy2log: [TABLES[0], [0, 1, 3, 2]] }, 'layer 1, slot 2 holds 3; give an expert from 0 to 2'],
      [{ phy2log: [[0, 1, 2.5, 2], TABLES[1]] }, 'layer 0, slot 2 holds 2.5'],
      [{ phy2log: [[0, 1, null, 2], TABLES[1]] }, 'layer 0, slot 2 holds null'],
      [{ phy2log: [[0, -2, 1, 2], TABLES[1]] }, 'layer 0, slot 1 holds -2'],
      [{ phy2log: [TABLES[0], [0, 1, 1, -1]] }, 'layer 1 has no slot for expert 2'],
    ];
    for (const [json, words] of wrong) {
      const error = await errorOf(ExpertError, () => placementFromJson(json, SHAPE));
      expect(error.code).to.equal('INVALID_ARGUMENT');
      expect(error.message).to.contain(words);
    }
  });
});
