import { expect } from 'chai';
import { placementFrom } from '../../../../experts/placement/placement.js';
import { lastMembers, resumedFrom, type Returned } from '../../../../lib/job/start/returned_ranks.js';

/** Of a job of 4 seats with 4 experts in 2 slots per rank. */
const before = placementFrom(0, 4, 4, [Int32Array.from([0, 1, 2, 3, -1, -1, -1, -1])]);

const back = (rank: number, epoch: number, members: readonly number[], slots = [-1, -1], version = 0): Returned => ({
  rank,
  said: { epoch, members, version, slots: [Int32Array.from(slots)] },
});

describe('ranks that are back', () => {
  it('go on with what each holds, one version and one epoch later than any of them knows', () => {
    const returned = [back(0, 3, [0, 1, 2], [0, 1], 5), back(2, 2, [0, 1, 2], [3, -1], 4)];
    const { members, placement } = resumedFrom(returned, before);
    expect([...members.present]).to.deep.equal([0, 2]);
    expect([members.epoch, placement.version]).to.deep.equal([4, 6]);
    expect([...placement.phy2log[0]!]).to.deep.equal([0, 1, -1, -1, 3, -1, -1, -1]);
  });

  it('wait for the members of the latest epoch that one of them entered', () => {
    expect(lastMembers([])).to.deep.equal([]);
    expect(lastMembers([back(0, 0, [0, 1])])).to.deep.equal([0, 1]);
    expect(lastMembers([back(0, 0, [0, 1]), back(2, 1, [0, 2])])).to.deep.equal([0, 2]);
  });
});
