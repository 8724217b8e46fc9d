import { expect } from 'chai';
import { createTierPolicy, type ExpertUse } from '../../../experts/tiers/tier_policy.js';

const use = (expert: number, frequency: number, lastUse: number): ExpertUse => ({
  ...{ layer: 0, expert, numUses: frequency, frequency, lastUse },
});
const WANTED = use(9, 0, 0);

describe('policies of tiers', () => {
  it('frequency lets go of what was used least often, and of equals of what was used last', () => {
    const choose = createTierPolicy('frequency');
    expect(choose([use(0, 5, 1), use(1, 2, 9), use(2, 3, 2)], WANTED)).to.equal(1);
    expect(choose([use(0, 2, 3), use(1, 2, 8), use(2, 2, 5)], WANTED)).to.equal(1);
  });

  it('lru lets go of what was used longest ago, however often it was', () => {
    const choose = createTierPolicy('lru');
    expect(choose([use(0, 50, 1), use(1, 2, 9), use(2, 3, 2)], WANTED)).to.equal(0);
  });

  it('of equals the first goes, and the only one goes in any case', () => {
    for (const name of ['frequency', 'lru'] as const) {
      expect(createTierPolicy(name)([use(3, 1, 1), use(4, 1, 1)], WANTED)).to.equal(0);
      expect(createTierPolicy(name)([use(3, 7, 7)], WANTED)).to.equal(0);
    }
  });
});
