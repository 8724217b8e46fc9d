import { expect } from 'chai';
import { lowerMedian, Paces } from '../../../../lib/head/speeds/paces.js';

const cost = (work: number): number => 2 + 0.1 * work;

describe('paces of ranks', () => {
  it('are times the median rank’s time for the same work, though a slow one has less of it', () => {
    const paces = new Paces(4);
    for (let i = 0; i < 12; i++) {
      const works = [40 + 7 * i, 44 + 5 * i, i < 6 ? 42 : 15, 38 + 6 * i]; // rank 2 is spared after a while
      paces.add(works.map((work, rank) => ({ work, ms: cost(work) * (rank === 2 ? 2 : 1) })));
    }
    expect(paces.of(0)).to.be.closeTo(1, 0.05);
    expect(paces.of(1)).to.be.closeTo(1, 0.05);
    expect(paces.of(2)).to.be.closeTo(2, 0.1);
  });

  it('of two ranks are told beside the faster one', () => {
    const paces = new Paces(2);
    for (let i = 0; i < 5; i++) paces.add([{ work: 10, ms: 6 }, { work: 10, ms: 2 }]); // prettier-ignore
    expect([paces.of(0), paces.of(1)]).to.deep.equal([3, 1]);
  });

  it('are unknown before three windows, and of a seat that somebody else takes', () => {
    const paces = new Paces(2);
    const window = [{ work: 10, ms: 1 }, { work: 10, ms: 1 }]; // prettier-ignore
    paces.add(window);
    paces.add(window);
    expect(paces.of(0)).to.equal(null);
    paces.add(window);
    expect(paces.of(0)).to.equal(1);
    paces.forget(0);
    expect([paces.of(0), paces.of(1)]).to.deep.equal([null, 1]);
  });

  it('stay where a window was disturbed', () => {
    const paces = new Paces(3);
    for (let i = 0; i < 5; i++) {
      paces.add([0, 1, 2].map((rank) => ({ work: 10, ms: i === 2 && rank === 1 ? 50 : 1 })));
    }
    expect(paces.of(1)).to.be.closeTo(1, 0.2);
  });

  it('of ranks that had nothing to do stay what they were', () => {
    const paces = new Paces(2);
    for (let i = 0; i < 3; i++) paces.add([{ work: 10, ms: 1 }, { work: 10, ms: 2 }]); // prettier-ignore
    for (let i = 0; i < 9; i++) paces.add([{ work: 10, ms: 1 }, null]);
    paces.add([null, null]);
    expect(paces.of(1)).to.equal(2);
  });

  it('the lower median is the middle one, or the lower of two in the middle', () => {
    expect([lowerMedian([3, 1, 2]), lowerMedian([4, 1, 3, 2]), lowerMedian([5])]).to.deep.equal([2, 2, 5]);
  });
});
