import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { FailureReport } from '../../../lib/job/first_cause.js';
import { Membership, reasonOf } from '../../../lib/job/membership.js';

/** Everything that a membership says, as lines. */
class Head {
  readonly lines: string[] = [];
  readonly membership: Membership;
  readonly over: Promise<EngineError>;

  constructor(numRanks: number, enterTimeoutMs = 60_000, gatherMs = 1) {
    let end: (error: EngineError) => void = () => undefined;
    this.over = new Promise((resolve) => (end = resolve));
    this.membership = new Membership({
      numRanks,
      enterTimeoutMs,
      gatherMs,
      tell: (rank, message) => {
        if (message.kind !== 'epoch') expect.fail(`'${message.kind}' for rank ${rank}`);
        this.lines.push(`tell ${rank}: epoch ${message.epoch} without ${message.lost.join()}`);
      },
      cutOff: (rank, error) => this.lines.push(`cut ${rank}: ${reasonOf(error)}`),
      onEpoch: () => this.lines.push('epoch'),
      onNobodyLeft: end,
    });
  }

  exit(rank: number): void {
    const error = new EngineError('RANK_LOST', `rank ${rank} was killed; look at its log`);
    this.membership.report({ kind: 'exit', from: rank, error });
  }

  accuse(from: number, about: number): void {
    const error = new EngineError('TIMEOUT', `${from} misses ${about}; look at its log`);
    this.membership.report({ kind: 'accusation', from, about: [about], error } satisfies FailureReport);
  }

  /** Waits for the next epoch to be declared, and takes what was said. */
  async declared(epoch: number): Promise<string[]> {
    while (this.membership.epoch < epoch) await new Promise((resolve) => setImmediate(resolve));
    return this.lines.splice(0);
  }
}

describe('the membership of a job', () => {
  it('a loss: the rank is cut off first, then everybody who is left is told, and all must have entered', async () => {
    const head = new Head(3);
    head.exit(1);
    expect(await head.declared(1)).to.deep.equal([
      'cut 1: rank 1 was killed',
      'epoch',
      'tell 0: epoch 1 without 1',
      'tell 2: epoch 1 without 1',
    ]);
    let isSettled = false;
    const settled = head.membership.settled().then(() => (isSettled = true));
    head.membership.entered(0, 1);
    head.membership.entered(2, 0); // of an epoch that is over
    await Promise.resolve();
    expect(isSettled).to.equal(false);
    head.membership.entered(2, 1);
    await settled;
    head.membership.close();
  });

  it('a loss while ranks enter an epoch: the next epoch is declared to all that are left, without both', async () => {
    const head = new Head(3);
    head.exit(1);
    await head.declared(1);
    head.membership.entered(0, 1);
    head.exit(2);
    expect(await head.declared(2)).to.deep.equal(['cut 2: rank 2 was killed', 'epoch', 'tell 0: epoch 2 without 1,2']);
    const settled = head.membership.settled();
    head.membership.entered(0, 2);
    await settled;
    expect(head.membership.lostRanks.map(({ rank }) => rank)).to.deep.equal([1, 2]);
    head.membership.close();
  });

  it('whoever does not enter in time is lost too', async () => {
    const head = new Head(3, 10);
    head.exit(0);
    await head.declared(1);
    head.membership.entered(1, 1);
    expect(await head.declared(2)).to.deep.equal([
      'cut 2: rank 2 did not enter epoch 1 within 10 ms',
      'epoch',
      'tell 1: epoch 2 without 0,2',
    ]);
    head.membership.close();
  });

  it('is not settled while a report is looked into', async () => {
    const head = new Head(2);
    await head.membership.settled();
    head.accuse(0, 1);
    const settled = head.membership.settled();
    await head.declared(1);
    head.membership.entered(0, 1);
    await settled;
    expect(head.membership.has(1)).to.equal(false);
    head.membership.close();
  });

  it('decides at once when a rank ended and all others wait for it', () => {
    const head = new Head(3, 60_000, 60_000);
    head.accuse(0, 1);
    head.exit(1);
    expect(head.membership.epoch).to.equal(0); // rank 2 has not been heard: it may be lost too
    head.accuse(2, 0);
    expect(head.membership.epoch).to.equal(1);
    expect(head.membership.lostRanks.map(({ rank }) => rank)).to.deep.equal([1]);
    head.membership.close();
  });

  it('what comes from a lost rank, or is about one, declares nothing', async () => {
    const head = new Head(3);
    head.exit(1);
    await head.declared(1);
    head.exit(1);
    head.accuse(1, 0);
    head.accuse(0, 1);
    for (const rank of [0, 2]) head.membership.entered(rank, 1);
    await head.membership.settled();
    expect(head.membership.epoch).to.equal(1);
    head.membership.close();
  });

  it('the loss of the last rank ends it, with every reason', async () => {
    const head = new Head(2);
    head.exit(0);
    head.exit(1);
    const { code, message } = await head.over;
    expect(code).to.equal('RANK_LOST');
    expect(message).to.include('no rank is left to go on with: rank 0 was killed, and rank 1 was killed;');
    await head.membership.settled();
  });

  it('closing lets go of whoever waits, and nothing is declared afterwards', async () => {
    const head = new Head(3);
    head.exit(1);
    const settled = head.membership.settled();
    head.membership.close();
    await settled;
    head.exit(2);
    expect(head.membership.epoch).to.equal(0);
  });
});
