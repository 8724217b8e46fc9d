import { expect } from 'chai';
import { membersAfter } from '../../../lib/job/members.js';
import { EngineError } from '../../../lib/protocol/errors.js';

describe('the members of a job', () => {
  it('are those that joined and have not left, epoch by epoch', () => {
    const lost = (rank: number) => ({ rank, error: new EngineError('RANK_LOST', `rank ${rank} was killed`) });
    const first = membersAfter(null, { joined: [0, 1, 2], left: [] });
    const second = membersAfter(first, { joined: [], left: [lost(2)] });
    const third = membersAfter(second, { joined: [3], left: [lost(0)] });
    const told = [first, second, third].map(({ epoch, present, left }) => [
      epoch,
      [...present],
      left.map(({ rank }) => rank),
    ]);
    expect(told).to.deep.equal([
      [0, [0, 1, 2], []],
      [1, [0, 1], [2]],
      [2, [1, 3], [2, 0]],
    ]);
  });
});
