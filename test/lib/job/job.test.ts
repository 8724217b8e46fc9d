import { expect } from 'chai';
import { asRank } from '../../../base/ids.js';
import { CommError, remoteErrorOf } from '../../../comm/base/errors.js';
import type { ControlMessage } from '../../../comm/job/messages.js';
import { Job } from '../../../lib/job/job.js';
import type { RankExit } from '../../../lib/job/local_ranks.js';

const nothing = (): Promise<void> => Promise.resolve();

/** A job of ranks that say what they are told to say, and end when they are told to. */
function playedJob(numRanks: number) {
  const say: ((message: ControlMessage) => void)[] = [];
  const end: ((exit: RankExit) => void)[] = [];
  const exits = Array.from({ length: numRanks }, (_, i) => new Promise<RankExit>((resolve) => (end[i] = resolve)));
  const links = Array.from({ length: numRanks }, (_, i) => ({
    isOpen: true,
    send: () => undefined,
    onMessage: (hear: ((message: ControlMessage) => void) | undefined) => void (say[i] = hear!),
    closed: new Promise<never>(() => undefined),
    close: nothing,
  }));
  const local = { exits, kill: () => undefined, close: nothing };
  const times = { stepTimeoutMs: 60_000, enterTimeoutMs: 60_000 };
  const job = new Job({ rendezvous: { close: nothing }, local, links, reports: [], onPeerLoss: 'fail', ...times });
  return { job, say, end };
}

describe('a job whose losses end it', () => {
  it('names the rank that was killed, not one that gave up because of it, whoever speaks first', async () => {
    for (const isWitnessFirst of [true, false]) {
      const { job, say, end } = playedJob(4);
      const gaveUp = 'rank 3 gave up dispatch of layer 4 because rank 1 failed; look at their logs';
      const error = remoteErrorOf(new CommError('PEER_FAILED', gaveUp, { rank: asRank(1) }));
      const witness = (): void => say[2]!({ type: 'failed', error });
      const killed = (): void => end[1]!({ rank: 1, pid: 42, code: null, signal: 'SIGKILL' });
      for (const happen of isWitnessFirst ? [witness, killed] : [killed, witness]) happen();
      const failure = await job.failed;
      expect(failure.rank).to.equal(1);
      expect(failure.message).to.contain('rank 1 (process 42) was killed by SIGKILL');
    }
  });

  it('names a rank that failed by itself, although its error names the rank that its frame was for', async () => {
    const { job, say } = playedJob(3);
    const error = remoteErrorOf(new CommError('LIMIT', 'a frame too large for rank 1', { rank: asRank(1) }));
    say[2]!({ type: 'failed', error });
    const failure = await job.failed;
    expect(failure.rank).to.equal(2);
    expect(failure.message).to.contain('rank 2 failed before the first step: LIMIT: a frame too large for rank 1');
  });
});
