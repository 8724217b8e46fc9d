import { expect } from 'chai';
import { scalePlan, stayingRanks } from '../../../../lib/head/elastic/scale_plan.js';

const view = (present: readonly number[], leaving: readonly number[] = [], demoted: readonly number[] = []) => ({
  present: new Set(present),
  leaving: new Set(leaving),
  demoted: new Set(demoted),
});

describe('the next part of an order to scale', () => {
  it('is nothing where there are as many ranks as wanted, and nobody is on the way out', () => {
    expect(scalePlan(view([0, 1]), 2)).to.deep.equal({ kind: 'done' });
    expect(stayingRanks(view([5, 0, 1], [1]))).to.deep.equal([0, 5]);
  });

  it('is as many newcomers as ranks are missing', () => {
    expect(scalePlan(view([0, 3]), 5)).to.deep.equal({ kind: 'grow', numRanks: 3 });
  });

  it('is that the highest numbers go, of slow ranks first', () => {
    expect(scalePlan(view([0, 1, 2, 3]), 2)).to.deep.equal({ kind: 'shrink', ranks: [3, 2] });
    expect(scalePlan(view([0, 1, 2, 3], [], [0, 1]), 1)).to.deep.equal({ kind: 'shrink', ranks: [1, 0, 3] });
  });

  it('has those go first that are on their way out', () => {
    expect(scalePlan(view([0, 1, 5], [1]), 2)).to.deep.equal({ kind: 'shrink', ranks: [1] });
    expect(scalePlan(view([0, 1, 2, 3], [1]), 2)).to.deep.equal({ kind: 'shrink', ranks: [1, 3] });
  });

  it('keeps those that are on their way out before it looks for others, slow ones last', () => {
    expect(scalePlan(view([1, 2, 3], [1, 2, 3]), 1)).to.deep.equal({ kind: 'keep', ranks: [1] });
    expect(scalePlan(view([1, 2], [1, 2], [1]), 1)).to.deep.equal({ kind: 'keep', ranks: [2] });
    expect(scalePlan(view([0, 2], [2]), 4)).to.deep.equal({ kind: 'keep', ranks: [2] });
  });
});
