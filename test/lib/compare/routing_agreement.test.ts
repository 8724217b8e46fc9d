import { expect } from 'chai';
import { RoutingAgreement } from '../../../lib/compare/routing_agreement.js';

const PAIR = [{ a: 0, b: 0 }];
const NO_ORIGINS = { a: null, b: null };

describe('agreement of routing', () => {
  it('is the share of A’s choices that B makes too, in any order, and −1 is no choice', () => {
    const agreement = new RoutingAgreement(PAIR, NO_ORIGINS);
    agreement.add([[[3, 1]], [[2, -1]], [[0, 5]]], [[[1, 3]], [[2]], [[4, 5]]]);
    expect(agreement.shares).to.deep.equal([4 / 5]);
    expect(agreement.share).to.equal(4 / 5);
  });

  it('knows experts of a pruned checkpoint by what they were before, on either side', () => {
    const whole = [[[7, 2]], [[5, 0]]];
    const pruned = [[[2, 1]], [[1, 0]]]; // 7, 2 and 2, 0
    const origins = [[0, 2, 7]];
    const onB = new RoutingAgreement(PAIR, { a: null, b: origins });
    onB.add(whole, pruned);
    expect(onB.share).to.equal(3 / 4);
    const onA = new RoutingAgreement(PAIR, { a: origins, b: null });
    onA.add(pruned, whole);
    expect(onA.share).to.equal(3 / 4);
  });

  it('is told by layer, of the layers that are compared alone, and of none where A chooses nothing', () => {
    const agreement = new RoutingAgreement([{ a: 1, b: 0 }], NO_ORIGINS);
    agreement.add([[[0], [1]]], [[[1], [0]]]);
    expect(agreement.shares).to.deep.equal([1]);
    expect(new RoutingAgreement(PAIR, NO_ORIGINS).share).to.equal(null);
  });
});
