import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import { FirstCause, type FailureReport } from '../../../lib/job/first_cause.js';

const report = (
  kind: FailureReport['kind'],
  from: number | null,
  text: string,
  about?: readonly number[],
): FailureReport => ({
  kind,
  from,
  ...(about && { about }),
  error: new EngineError('RANK_LOST', text),
});

async function causeOf(...reports: readonly FailureReport[]): Promise<string> {
  const cause = new FirstCause();
  for (const each of reports) cause.report(each);
  return (await cause.found).message.replace('RANK_LOST: ', '');
}

describe('the first cause', () => {
  it('a killed process comes before the complaints of its peers, in any order', async () => {
    const killed = report('exit', 1, 'killed');
    const complaint = report('accusation', 0, 'rank 0 lost rank 1');
    const link = report('disconnect', 1, 'link');
    expect(await causeOf(complaint, link, killed)).to.equal('killed');
    expect(await causeOf(killed, complaint, link)).to.equal('killed');
  });

  it('what a rank says about itself comes before its end', async () => {
    expect(await causeOf(report('exit', 1, 'exit code 1'), report('own_failure', 1, 'out of memory'))).to.equal(
      'out of memory',
    );
  });

  it('a rank that accused another one and then ended is a witness still', async () => {
    const accusation = report('accusation', 0, 'rank 1 is silent');
    const ends = [report('exit', 0, 'exit code 1'), report('disconnect', 0, 'link')];
    expect(await causeOf(accusation, ...ends)).to.equal('rank 1 is silent');
    expect(await causeOf(...ends, accusation)).to.equal('rank 1 is silent');
  });

  it('of equals the first one counts', async () => {
    expect(await causeOf(report('exit', 1, 'first'), report('exit', 2, 'second'))).to.equal('first');
  });

  it('of equals, the one that others complain about counts, in any order', async () => {
    const ended = report('disconnect', 2, 'ended by its supervisor');
    const killed = report('disconnect', 3, 'killed');
    const complaint = report('accusation', 0, 'rank 0 lost rank 3', [3]);
    expect(await causeOf(ended, killed, complaint)).to.equal('killed');
    expect(await causeOf(complaint, killed, ended)).to.equal('killed');
  });

  it('closing settles with what was reported until then, and takes nothing more', async () => {
    const cause = new FirstCause();
    cause.report(report('deadline', null, 'late'));
    cause.close();
    cause.report(report('exit', 1, 'killed'));
    expect((await cause.found).message).to.equal('RANK_LOST: late');
  });
});
