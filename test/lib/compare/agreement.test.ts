import { expect } from 'chai';
import { Agreement } from '../../../lib/compare/agreement.js';

/** Logits of some probabilities: whatever is added to all changes nothing. */
const logits = (...probabilities: number[]): number[] => probabilities.map((p) => Math.log(p) + 3);

describe('agreement of logits', () => {
  it('counts places with the same best token, of equal ones the first', () => {
    const agreement = new Agreement(2);
    agreement.add(Float32Array.of(1, 2, 5, 4, 0, 0), Float32Array.of(3, 4, 1, 9, 7, 7));
    expect([agreement.numPlaces, agreement.numSame]).to.deep.equal([3, 2]);
    expect(agreement.sameShare).to.be.closeTo(2 / 3, 1e-12);
  });

  it('is 0 nats apart where distributions are the same, and as far as the definition says where not', () => {
    const agreement = new Agreement(3);
    const p = [0.5, 0.25, 0.25];
    agreement.add(Float32Array.from(logits(...p)), Float32Array.from(logits(...p)));
    expect(agreement.meanDivergence).to.be.closeTo(0, 1e-6);
    agreement.add(Float32Array.from(logits(...p)), Float32Array.from(logits(0.25, 0.25, 0.5)));
    const expected = 0.5 * Math.log(2) + 0.25 * Math.log(0.5);
    expect(agreement.meanDivergence).to.be.closeTo(expected / 2, 1e-6);
  });
});
