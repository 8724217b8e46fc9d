import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { Decision } from '../../../lib/job/losses.js';
import { LossWatch, type LossWatchOptions } from '../../../lib/job/loss_watch.js';

/** A watch over ranks, and what it decided. */
class Head {
  readonly decisions: Decision[] = [];
  readonly watch: LossWatch;
  private heard: () => void = () => undefined;

  constructor(numRanks: number, options: Partial<LossWatchOptions> = {}) {
    const onDecision = (decision: Decision): void => {
      this.decisions.push(decision);
      this.heard();
    };
    const defaults = { policy: 'mask', exits: [], enterTimeoutMs: 60_000, gatherMs: 1 } as const;
    this.watch = new LossWatch({ first: numRanks, ...defaults, ...options, onDecision });
  }

  exit(rank: number): void {
    const error = new EngineError('RANK_LOST', `rank ${rank} was killed; look at its log`, { rank });
    this.watch.report({ kind: 'exit', about: [rank], error });
  }

  accuse(from: number, about: number): void {
    const error = new EngineError('TIMEOUT', `${from} misses ${about}; look at its log`);
    this.watch.report({ kind: 'accusation', from, about: [about], error });
  }

  /** Waits for the next decision: why each rank left. */
  async decided(): Promise<string[]> {
    while (this.decisions.length === 0) await new Promise<void>((resolve) => (this.heard = resolve));
    return this.decisions.shift()!.lost.map(({ error }) => error.reason);
  }
}

describe('the watch over losses', () => {
  it('gathers for a moment, so that two losses at once make one epoch, and is settled when everybody left entered it', async () => {
    const head = new Head(3);
    await head.watch.settled();
    head.exit(1);
    head.exit(0);
    let isSettled = false;
    const settled = head.watch.settled().then(() => (isSettled = true));
    expect(head.decisions).to.deep.equal([]);
    expect(await head.decided()).to.deep.equal(['rank 1 was killed', 'rank 0 was killed']);
    expect([...head.watch.members.present]).to.deep.equal([2]);
    await Promise.resolve();
    expect(isSettled).to.equal(false);
    head.watch.entered(2, 1);
    await settled;
    head.watch.close();
  });

  it('whoever does not enter in time is lost too', async () => {
    const head = new Head(3, { enterTimeoutMs: 10 });
    head.exit(0);
    await head.decided();
    head.watch.entered(1, 1);
    expect(await head.decided()).to.deep.equal(['rank 2 did not enter epoch 1 within 10 ms']);
    expect([...head.watch.members.present]).to.deep.equal([1]);
    head.watch.close();
  });

  it('is not settled while a report is looked into', async () => {
    const head = new Head(2);
    head.accuse(0, 1);
    const settled = head.watch.settled();
    await head.decided();
    head.watch.entered(0, 1);
    await settled;
    expect(head.watch.members.present.has(1)).to.equal(false);
    head.watch.close();
  });

  it('waits for no clock where nothing more can be expected', () => {
    const head = new Head(2, { gatherMs: 60_000 });
    head.accuse(0, 1);
    head.exit(1);
    expect(head.watch.members.epoch).to.equal(1);
    head.watch.close();
  });

  it('where no loss is tolerated, one is decided on after that moment, and nothing is waited for then', async () => {
    const head = new Head(2, { policy: 'fail' });
    head.accuse(0, 1);
    head.exit(1);
    const settled = head.watch.settled();
    expect((await head.watch.ended).reason).to.equal('rank 1 was killed');
    await settled;
    expect(await head.decided()).to.deep.equal([]); // nobody is cut off alone
    head.watch.close();
  });

  it('the loss of the last rank lets go of whoever waits', async () => {
    const head = new Head(2);
    const settled = head.watch.settled();
    head.exit(0);
    head.exit(1);
    expect((await head.watch.ended).message).to.include('no rank is left to go on with');
    await settled;
  });

  it('closing lets go of whoever waits, and nothing is decided afterwards', async () => {
    const head = new Head(2);
    head.accuse(0, 1);
    const settled = head.watch.settled();
    head.watch.close();
    await settled;
    head.exit(1); // which would be the whole story
    expect(head.decisions).to.deep.equal([]);
    expect(head.watch.members.epoch).to.equal(0);
  });
});
