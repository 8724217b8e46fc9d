import { expect } from 'chai';
import { hostError, isLoss, isOfSsh, type HostLoss } from '../../../../lib/commands/hosts/host_losses.js';

const LOSS: HostLoss = {
  destination: 'b',
  first: 2,
  numRanks: 2,
  end: { code: 255, signal: null, lastWords: 'ssh: connect to host b port 22: Connection refused' },
  haveJoined: false,
  ssh: ['ssh', '-p', '2222'],
};

describe("the end of a host's ssh", () => {
  it('is told with its ranks, the last words, and how to try it', () => {
    expect(hostError(LOSS).message).to.equal(
      'RANK_LOST: b with ranks 2 to 3: ssh ended with exit code 255 before they had joined ' +
        "(ssh: connect to host b port 22: Connection refused); see that 'ssh -p 2222 b true' works",
    );
  });

  it('by a signal is told so', () => {
    const loss = {
      ...LOSS,
      numRanks: 1,
      end: { code: null, signal: 'SIGKILL', lastWords: '' },
      haveJoined: true,
    } as const;
    expect(hostError(loss).message).to.equal(
      "RANK_LOST: b with rank 2: ssh was killed by SIGKILL; see that 'ssh -p 2222 b true' works",
    );
  });

  it('without expertwire there says where it is looked for', () => {
    const end = { code: 127, signal: null, lastWords: 'sh: launch.sh: not found' };
    expect(hostError({ ...LOSS, end }).message).to.match(
      /not found\); expertwire has to be there too: --remote-folder DIR/,
    );
  });

  it('is a loss with a failure, and before its ranks had joined in any case', () => {
    const well = { ...LOSS.end, code: 0 };
    expect(isLoss({ end: well, haveJoined: true })).to.equal(false);
    expect(isLoss({ end: well, haveJoined: false })).to.equal(true);
    expect(isLoss({ end: LOSS.end, haveJoined: true })).to.equal(true);
  });

  it('is the doing of ssh, or of the ranks, which told their head why', () => {
    const ofSsh = (code: number | null): boolean => isOfSsh({ code, signal: null, lastWords: '' });
    expect([255, 127, 126, null, 1, 2].map(ofSsh)).to.deep.equal([true, true, true, true, false, false]);
  });
});
