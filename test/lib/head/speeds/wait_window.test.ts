import { expect } from 'chai';
import { lateRows as lateOf, WaitWindow } from '../../../../lib/head/speeds/wait_window.js';

const lateRows = (shares: readonly (readonly number[])[], ranks = [...shares.keys()]) => lateOf(shares, ranks);

describe('waits for rows', () => {
  it('are shares of the time of the steps, of what was added since the last look', () => {
    const waits = new WaitWindow();
    // By destination: rank 1 waits 3 ms for rank 0.
    waits.add([[0, 0], [3, 0]], 10); // prettier-ignore
    expect(waits.take()).to.deep.equal([[0, 0.3], [0, 0]]); // prettier-ignore
    waits.add([[0, 1], [3, 0]], 10); // prettier-ignore
    waits.add([[0, 2], [4, 0]], 10); // prettier-ignore
    expect(waits.take()).to.deep.equal([[0, 0.05], [0.1, 0]]); // prettier-ignore
  });

  it('of a newcomer on a seat begin anew, and seats that nobody has wait for nobody', () => {
    const waits = new WaitWindow();
    waits.add([[0, 0, 0], [50, 0, 0], null], 100); // prettier-ignore
    waits.take();
    waits.add([[0, 0, 0], [2, 0, 0], null], 10); // prettier-ignore
    expect(waits.take()[0]).to.deep.equal([0, 0, 0]);
    expect(waits.ranks).to.deep.equal([0, 1]);
  });

  it('of all others for one rank blame the rank', () => {
    expect(lateRows([[0, 0.02, 0.01], [0.4, 0, 0.35], [0.01, 0.02, 0]])).to.deep.equal({ kind: 'rank', rank: 1, share: 0.4 }); // prettier-ignore
  });

  it('of one rank for one other blame the link between them', () => {
    const late = lateRows([[0, 0.02, 0.03], [0.02, 0, 0.5], [0.01, 0.02, 0]]); // prettier-ignore
    expect(late).to.deep.equal({ kind: 'link', from: 1, to: 2, share: 0.5 });
  });

  it('of a rank that has less to do than all others blame no link', () => {
    expect(lateRows([[0, 0.3, 0], [0, 0, 0], [0, 0.29, 0]])?.kind).to.equal('rank'); // prettier-ignore
  });

  it('of one of two ranks blame no link, also beside empty seats: nobody else could tell', () => {
    expect(lateRows([[0, 0.7, 0], [0.02, 0, 0], [0, 0, 0]], [0, 1])?.kind).to.equal('rank'); // prettier-ignore
  });

  it('that are short blame nobody', () => {
    expect(lateRows([[0, 0.2], [0.24, 0]])).to.equal(null); // prettier-ignore
    expect(lateRows([])).to.equal(null);
  });
});
