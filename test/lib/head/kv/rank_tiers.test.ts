import { expect } from 'chai';
import { RankTiers } from '../../../../lib/head/kv/rank_tiers.js';

const DISK = { tier: 'disk', maxBytes: 9, bytesOf: () => 1 } as const;
const found = (key: string) => ({ found: [{ key, hasState: false }], lost: [] });
const isCached = (): boolean => false;

describe('tiers of ranks', () => {
  it('what a rank says before its epoch begins here is heard when it does, and is nothing where it never did', () => {
    const tiers = new RankTiers(2, [DISK]);
    tiers.hear(0, found('a'));
    tiers.hear(1, found('b'));
    tiers.forget([1]); // it died
    for (const rank of [0, 1]) tiers.seat(rank, isCached);
    expect(tiers.of(0)!.find('a')).to.deep.equal({ tier: 'disk', hasState: false });
    expect(tiers.of(1)!.find('b')).to.equal(null);
  });

  it('are nobody’s where there are none', () => {
    const tiers = new RankTiers(1, []);
    tiers.hear(0, found('a'));
    tiers.seat(0, isCached);
    expect([tiers.of(0), tiers.counts]).to.deep.equal([null, []]);
  });

  it('count what was looked for in each as what nearer ones didn’t have', () => {
    const tiers = new RankTiers(1, [{ ...DISK, tier: 'ram' }, DISK]);
    tiers.countLookup(
      10,
      new Map([
        ['ram', 4],
        ['disk', 3],
      ]),
    );
    tiers.countHits('ram', 4);
    tiers.countHits('instance', 2);
    expect(tiers.counts.map(({ tier, numQueries, numHits }) => [tier, numQueries, numHits])).to.deep.equal([
      ['ram', 10, 4],
      ['disk', 6, 0],
    ]);
  });
});
