import { expect } from 'chai';
import fc from 'fast-check';
import { Heat, type HeatOptions } from '../../../../../lib/cluster/routing/pool/heat.js';
import type { NamedBlocks } from '../../../../../lib/cluster/routing/pool/named_blocks.js';

const OPTIONS: HeatOptions = { halfLifeMs: 1000, maxBlocks: 100, maxDepth: 10 };

/** A prompt whose blocks are named by the words before them. */
const promptOf = (...words: readonly string[]): NamedBlocks => {
  const wholeAt = (index: number): string => words.slice(0, index + 1).join(' ');
  return { numBlocks: words.length, at: wholeAt, wholeAt };
};

const heatOf = (options: Partial<HeatOptions> = {}, minHeat = 2): Heat => new Heat({ ...OPTIONS, ...options }, minHeat);
const byTwos = (heat: number): number => 1 + Math.floor(heat / 2);

describe('Heat', () => {
  it('names the longest prefix that as many prompts have', () => {
    const heat = heatOf();
    for (const end of ['x', 'y']) heat.add(promptOf('a', 'b', end), 0);
    heat.add(promptOf('c'), 0);
    expect(heat.hot(0, byTwos)).to.deep.equal([{ keys: ['a', 'a b'], heat: 2 }]);
  });

  it('names the beginning of a hot prefix apart, if it is wanted in more places', () => {
    const heat = heatOf();
    for (const end of ['x', 'x', 'y', 'y']) heat.add(promptOf('a', end), 0);
    const found = heat.hot(0, byTwos);
    expect(found.map(({ keys }) => keys.at(-1))).to.deep.equal(['a', 'a x', 'a y']);
    expect(found.map((each) => each.heat)).to.deep.equal([4, 2, 2]);
  });

  it('forgets: after a half life a request counts half', () => {
    const heat = heatOf();
    for (let i = 0; i < 4; i++) heat.add(promptOf('a'), 0);
    expect(heat.hot(1000, byTwos)[0]!.heat).to.equal(2);
    expect(heat.hot(1001, byTwos)).to.deep.equal([]);
    heat.add(promptOf('a'), 1001);
    expect(heat.hot(1001, byTwos)[0]!.heat).to.be.closeTo(3, 0.01);
  });

  it('looks no deeper than it is told, and remembers no more', () =>
    fc.assert(
      fc.property(fc.array(fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 8 })), (prompts) => {
        const heat = heatOf({ maxBlocks: 6, maxDepth: 5 }, 1);
        for (const [i, words] of prompts.entries()) {
          heat.add(promptOf(...words), i);
          expect(heat.size).to.be.at.most(6);
        }
        for (const { keys } of heat.hot(prompts.length, () => 1)) {
          expect(keys.length).to.be.within(1, 5);
          // Each key goes on behind the one before: no block is remembered without those before it.
          for (const [i, key] of keys.entries()) expect(key.split(' ')).to.have.length(i + 1);
        }
      }),
    ));
});
