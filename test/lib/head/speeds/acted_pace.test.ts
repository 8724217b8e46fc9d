import { expect } from 'chai';
import { actedPace } from '../../../../lib/head/speeds/acted_pace.js';

/** What is acted upon, measure after measure. */
const follow = (measures: readonly (number | null)[]): number[] => {
  const acted: number[] = [];
  for (const measured of measures) acted.push(actedPace(acted.at(-1) ?? 1, measured));
  return acted.map((pace) => Number(pace.toFixed(2)));
};

describe('paces that are acted upon', () => {
  it('are those of the median rank until a rank is a quarter slower or faster, and again when it is an eighth', () => {
    expect(follow([1.1, 1.24, 1.26, 1.2, 1.13, 1.11, 1.2])).to.deep.equal([1, 1, 1.25, 1.25, 1.25, 1, 1]);
    expect(follow([0.85, 0.79, 0.85, 0.95])).to.deep.equal([1, 0.8, 0.8, 1]);
  });

  it('change where the measure is well off, and not to and fro with it', () => {
    expect(follow([2, 2.1, 1.9, 2.2, 1.85, 2.4, 2.5, 1.6])).to.deep.equal([2, 2, 2, 2, 2, 2.4, 2.4, 1.6]);
  });

  it('stay while nobody knows', () => {
    expect(follow([null, 3, null, null])).to.deep.equal([1, 3, 3, 3]);
  });
});
