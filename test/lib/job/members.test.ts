import { expect } from 'chai';
import { firstMembers, holdersOf, membersAfter, takersOf, type Members } from '../../../lib/job/members.js';
import { EngineError } from '../../../lib/protocol/errors.js';

const lost = (rank: number) => ({ rank, error: new EngineError('RANK_LOST', `rank ${rank} was killed`) });

/** Epoch, who is there, whose experts go to others, who leaves. */
const told = ({ epoch, present, demoted, leaving }: Members): string =>
  `${epoch}: ${[...present].join()} | ${[...demoted].join()} | ${[...leaving].join()}`;

describe('the members of a job', () => {
  it('are those that joined and were not lost and have not left, epoch by epoch, by seat', () => {
    const first = firstMembers([0, 1, 2]);
    const second = membersAfter(first, { lost: [lost(2), lost(1)] });
    const third = membersAfter(second, { joined: [4, 1] });
    const fourth = membersAfter(third, { left: [0] });
    expect([first, second, third, fourth].map(told)).to.deep.equal([
      '0: 0,1,2 |  | ',
      '1: 0 |  | ',
      '2: 0,1,4 |  | ',
      '3: 1,4 |  | ',
    ]);
  });

  it('keep what was said of them, until it is taken back or they are gone; who joins begins anew', () => {
    const marked = membersAfter(firstMembers([0, 1, 2]), { demoted: [0, 1], leaving: [1, 2] });
    const back = membersAfter(marked, { promoted: [0], staying: [2] });
    const without = membersAfter(marked, { lost: [lost(1)], left: [2] });
    const again = membersAfter(without, { joined: [1] });
    expect([marked, back, without, again].map(told)).to.deep.equal([
      '1: 0,1,2 | 0,1 | 1,2',
      '2: 0,1,2 | 1 | 1',
      '2: 0 | 0 | ',
      '3: 0,1 | 0 | ',
    ]);
  });

  it('that leave take no sequences, and those that fell behind no experts either, unless there is nobody else', () => {
    const all = firstMembers([0, 1, 2]);
    const some = membersAfter(all, { demoted: [0], leaving: [1] });
    expect([takersOf(some), holdersOf(some)]).to.deep.equal([[0, 2], [2]]);
    const slow = membersAfter(all, { demoted: [0, 2], leaving: [1] });
    expect([takersOf(slow), holdersOf(slow)]).to.deep.equal([
      [0, 2],
      [0, 2],
    ]);
    const gone = membersAfter(all, { leaving: [0, 1, 2], demoted: [1] });
    expect([takersOf(gone), holdersOf(gone)]).to.deep.equal([
      [0, 1, 2],
      [0, 2],
    ]);
  });
});
