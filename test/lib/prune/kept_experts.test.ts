import { expect } from 'chai';
import { PLAIN_GATE, type GateSpec } from '../../../compute/base/gate_spec.js';
import { keptExperts, numKeptOf } from '../../../lib/prune/kept_experts.js';

const GATE: GateSpec = { ...PLAIN_GATE, numExperts: 8, numTopk: 3 };
const GROUPED: GateSpec = { ...GATE, groups: { numGroups: 4, topkGroups: 2, score: 'max' } };

describe('the experts that are kept', () => {
  it('are those of the highest scores, in the order of their numbers', () => {
    expect(keptExperts([5, 1, 9, 0, 7, 2, 8, 3], 4, GATE)).to.deep.equal([0, 2, 4, 6]);
  });

  it('are the lower ones of those that score alike', () => {
    expect(keptExperts(new Float64Array(8), 3, GATE)).to.deep.equal([0, 1, 2]);
  });

  it('are as many in each group of the gate, whatever the groups score', () => {
    expect(keptExperts([9, 8, 7, 6, 0, 1, 3, 2], 4, GROUPED)).to.deep.equal([0, 2, 5, 6]);
  });

  it('are a share below 1, of whole groups and rounded down, and a number from 1 on', () => {
    expect([0.5, 0.6, 0.999, 3, 8].map((keep) => numKeptOf(keep, GATE))).to.deep.equal([4, 4, 7, 3, 8]);
    expect(numKeptOf(0.8, { ...GROUPED, numExperts: 16 })).to.equal(12);
    expect(numKeptOf(0.7, { ...GATE, numExperts: 10 })).to.equal(7);
  });

  it('are enough for the choices of a token, or the wish is refused with all numbers', () => {
    const refused = (keep: number, gate: GateSpec): unknown => numKeptOf(keep, gate);
    expect(refused(2, GATE)).to.equal('each token chooses 3 experts, and 2 would be kept; keep more');
    expect(refused(4, GROUPED)).to.equal(
      'each token chooses 3 experts, and 4 would be kept, 2 of them in the 2 groups that a token may choose from; keep more',
    );
    expect(refused(6, GROUPED)).to.equal(
      "6 experts aren't as many in each of the gate's 4 groups; give a multiple of 4",
    );
    const byTwo: GateSpec = { ...GROUPED, numTopk: 1, groups: { numGroups: 4, topkGroups: 2, score: 'top2_sum' } };
    expect(refused(4, byTwo)).to.match(/^4 experts are one in each of 4 groups, .* keep at least 8$/);
    for (const keep of [0, -1, 9, 2.5, 0.01, NaN]) expect(refused(keep, GATE)).to.match(/can't be kept; give a share/);
    expect(refused(-1, GATE)).to.match(/^-1 of 8 experts/);
  });
});
