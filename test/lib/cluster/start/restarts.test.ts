import { expect } from 'chai';
import { LastLines } from '../../../../lib/cluster/start/last_lines.js';
import { failuresInARow, pauseMs } from '../../../../lib/cluster/start/restarts.js';

describe('when an instance is started anew', () => {
  it('each failure in a row doubles the pause, up to half a minute', () => {
    expect([1, 2, 3, 6, 7, 8, 1000].map(pauseMs)).to.deep.equal([500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]);
  });

  it('who served for a minute begins anew; who served for less, or never, goes on counting', () => {
    expect(failuresInARow(5, 60_000)).to.equal(1);
    expect([failuresInARow(0, 0), failuresInARow(5, 59_999)]).to.deep.equal([1, 6]);
  });

  it('the last lines are kept in order, and empty ones aren’t', () => {
    const lines = new LastLines(2);
    for (const line of ['a', 'b', '  ', 'c']) lines.add(line);
    expect(lines.all).to.deep.equal(['b', 'c']);
  });
});
