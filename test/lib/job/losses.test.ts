import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { FailureReport } from '../../../lib/job/failure_report.js';
import { Losses, lostRanks, type Decision } from '../../../lib/job/losses.js';

type End = 'own_failure' | 'exit' | 'disconnect';

const error = (text: string): EngineError => new EngineError('RANK_LOST', `${text}; look at its log`);
const end = (kind: End, rank: number, text = `${kind} of ${rank}`): FailureReport => ({
  kind,
  about: [rank],
  error: error(text),
});
const accusation = (from: number, ...about: readonly number[]): FailureReport => ({
  kind: 'accusation',
  from,
  about,
  error: error(`${from} accuses ${about.join()}`),
});
const deadline = (...about: readonly number[]): FailureReport => ({
  kind: 'deadline',
  about,
  error: error(`late: ${about.join()}`),
});

/** Losses, and what is decided of them, as lines. */
class Head {
  readonly losses: Losses;

  constructor(...options: ConstructorParameters<typeof Losses>) {
    this.losses = new Losses(...options);
  }

  hear(...reports: readonly FailureReport[]): string[] {
    return reports.flatMap((report) => this.linesOf(this.losses.hear(report)));
  }

  decide(): string[] {
    return this.linesOf(this.losses.decide());
  }

  private linesOf(decision: Decision | null): string[] {
    if (decision === null) return [];
    const { epoch, present } = this.losses.members;
    const next = `epoch ${epoch} for ${[...present].join()}`;
    return [
      ...decision.lost.map((lost) => `cut ${lost.rank}: ${lost.error.reason}`),
      decision.end === null ? next : `end: ${decision.end.reason}`,
    ];
  }
}

describe('losses that end the job', () => {
  /** What the job ends with. */
  function causeOf(...reports: readonly FailureReport[]): string {
    const head = new Head('fail', 4);
    expect(head.hear(...reports)).to.deep.equal([]); // nothing before the moment is over
    const [line, ...more] = head.decide();
    expect(more).to.deep.equal([]);
    return line!.replace('end: ', '');
  }

  it('a killed process comes before the complaints of its peers, in any order', () => {
    const [killed, complaint, link] = [end('exit', 1, 'killed'), accusation(0, 1), end('disconnect', 1)];
    expect(causeOf(complaint, link, killed)).to.equal('killed');
    expect(causeOf(killed, complaint, link)).to.equal('killed');
  });

  it('what a rank says about itself comes before its end', () => {
    expect(causeOf(end('exit', 1, 'exit code 1'), end('own_failure', 1, 'out of memory'))).to.equal('out of memory');
  });

  it('a rank that accused another one and then ended is a witness still', () => {
    const ends = [end('exit', 0), end('disconnect', 0)];
    expect(causeOf(accusation(0, 1), ...ends)).to.equal('0 accuses 1');
    expect(causeOf(...ends, accusation(0, 1))).to.equal('0 accuses 1');
  });

  it('of equals the first one counts', () => {
    expect(causeOf(end('exit', 2, 'first'), end('exit', 1, 'second'))).to.equal('first');
  });

  it('of equals, the one that others complain about counts, in any order', () => {
    const [ended, killed, complaint] = [end('disconnect', 2), end('disconnect', 3, 'killed'), accusation(0, 3)];
    expect(causeOf(ended, killed, complaint)).to.equal('killed');
    expect(causeOf(complaint, killed, ended)).to.equal('killed');
  });

  it('a late rank counts where nothing nearer the cause is told', () => {
    expect(causeOf(deadline(1))).to.equal('late: 1');
    expect(causeOf(deadline(1), end('exit', 2))).to.equal('exit of 2');
  });

  it('what is told of others is an echo of the rank that is known to have gone first', () => {
    const first = { ...end('disconnect', 2), isFirst: true };
    expect(causeOf(end('own_failure', 1), first, end('exit', 3))).to.equal('disconnect of 2');
    expect(causeOf(first, end('exit', 1), end('exit', 2, 'killed'))).to.equal('killed');
  });

  it('the end of the process of all ranks is one cause', () => {
    expect(causeOf({ kind: 'exit', about: [0, 1, 2, 3], error: error('all') }, end('disconnect', 1))).to.equal('all');
  });
});

describe('the ranks that are lost', () => {
  /** Rank and reason of each loss, whatever the order of the reports. */
  function losses(...reports: readonly FailureReport[]): Record<number, string> {
    const of = (some: readonly FailureReport[]): Record<number, string> =>
      Object.fromEntries(lostRanks(some, 'mask').map((lost) => [lost.rank, lost.error.reason]));
    const result = of(reports);
    expect(Object.keys(of([...reports].reverse()))).to.deep.equal(Object.keys(result));
    return result;
  }

  it('a rank that ended explains its accusers, and its nearest cause is told', () => {
    const reports = [accusation(0, 1), end('disconnect', 1), accusation(2, 1), end('exit', 1)];
    expect(losses(...reports)).to.deep.equal({ 1: 'exit of 1' });
    expect(losses(end('exit', 1), end('own_failure', 1))).to.deep.equal({ 1: 'own_failure of 1' });
  });

  it('two that ended are two losses', () => {
    expect(losses(end('exit', 2), accusation(1, 0), end('exit', 0))).to.have.all.keys('0', '2');
  });

  it('a silent rank is lost by its accusers alone', () => {
    expect(losses(accusation(0, 1), accusation(2, 1))).to.have.all.keys('1');
  });

  it('a rank that waits for a silent one is not lost for making others wait', () => {
    expect(losses(accusation(0, 1), accusation(1, 2))).to.have.all.keys('2');
    expect(losses(accusation(0, 3), accusation(3, 1), accusation(1, 2))).to.have.all.keys('2');
    expect(losses(accusation(0, 1, 2), accusation(1, 2))).to.have.all.keys('2');
  });

  it('of two that accuse each other, their link being cut, one goes', () => {
    expect(losses(accusation(0, 2), accusation(2, 0))).to.have.all.keys('2');
    expect(losses(accusation(0, 2), accusation(2, 0), accusation(1, 0))).to.have.all.keys('0');
  });

  it('a rank that accuses someone and then ends is lost, and whom it accused is not', () => {
    expect(losses(accusation(0, 1), end('exit', 0))).to.have.all.keys('0');
  });

  it('late ranks are lost when nobody else is', () => {
    expect(losses(deadline(1, 2))).to.have.all.keys('1', '2');
    expect(losses(deadline(1, 2), accusation(1, 2))).to.have.all.keys('2');
    expect(losses(deadline(0, 1), end('exit', 1))).to.have.all.keys('1');
  });
});

describe('losses that are masked', () => {
  it('the rank is cut off first, then an epoch is declared to everybody who is left, and all must have entered', () => {
    const head = new Head('mask', 3);
    expect(head.hear(end('exit', 1))).to.deep.equal([]);
    expect(head.decide()).to.deep.equal(['cut 1: exit of 1', 'epoch 1 for 0,2']);
    const enter = (rank: number, epoch: number): number[] => {
      head.losses.enter(rank, epoch);
      return [...head.losses.entering];
    };
    expect(enter(0, 1)).to.deep.equal([2]);
    expect(enter(2, 0)).to.deep.equal([2]); // of an epoch that is over
    expect(enter(2, 1)).to.deep.equal([]);
  });

  it('a loss while ranks enter an epoch: the next epoch is declared to all that are left, without both', () => {
    const head = new Head('mask', 3);
    head.hear(end('exit', 1));
    head.decide();
    head.losses.enter(0, 1);
    head.hear(end('exit', 2));
    expect(head.decide()).to.deep.equal(['cut 2: exit of 2', 'epoch 2 for 0']);
    expect([...head.losses.entering]).to.deep.equal([0]);
  });

  it('is decided at once when a rank ended and all others wait for it', () => {
    const head = new Head('mask', 3);
    // Rank 2 has not been heard: it may be lost too.
    expect(head.hear(accusation(0, 1), end('exit', 1))).to.deep.equal([]);
    expect(head.hear(accusation(2, 0))).to.deep.equal(['cut 1: exit of 1', 'epoch 1 for 0,2']);
  });

  it('a connection that ended is enough where no process is known that could tell better, once all others wait for that rank', () => {
    const gone = end('disconnect', 1);
    expect(new Head('mask', 3).hear(accusation(0, 1), accusation(2, 1), gone)).to.deep.equal([]);
    const head = new Head('mask', 3);
    const isLastWord = true;
    expect(head.hear(accusation(0, 1), { ...gone, isLastWord } as FailureReport)).to.deep.equal([]);
    expect(head.hear(accusation(2, 1))).to.deep.equal(['cut 1: disconnect of 1', 'epoch 1 for 0,2']);
  });

  it('what comes from a lost rank, or is about one, tells nothing', () => {
    const head = new Head('mask', 3);
    head.hear(end('exit', 1));
    head.decide();
    expect(head.hear(end('exit', 1), accusation(1, 0), accusation(0, 1))).to.deep.equal([]);
    expect(head.losses.isGathering).to.equal(false);
  });

  it('the loss of the last rank ends the job, with every reason', () => {
    const head = new Head('mask', 2);
    expect(head.hear(end('exit', 0))).to.deep.equal([]);
    expect(head.hear(end('exit', 1))).to.deep.equal([
      'cut 0: exit of 0',
      'cut 1: exit of 1',
      'end: no rank is left to go on with: exit of 0, and exit of 1',
    ]);
  });
});
