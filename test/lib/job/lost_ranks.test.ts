import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { FailureReport } from '../../../lib/job/first_cause.js';
import { lostRanks } from '../../../lib/job/lost_ranks.js';

const error = (text: string): EngineError => new EngineError('RANK_LOST', text);
const end = (kind: 'own_failure' | 'exit' | 'disconnect', from: number): FailureReport => ({
  kind,
  from,
  error: error(`${kind} of ${from}`),
});
const accusation = (from: number, ...about: readonly number[]): FailureReport => ({
  kind: 'accusation',
  from,
  about,
  error: error(`${from} accuses ${about.join()}`),
});
const deadline = (...about: readonly number[]): FailureReport => ({
  kind: 'deadline',
  from: null,
  about,
  error: error(`late: ${about.join()}`),
});

/** Rank and reason of each loss, whatever the order of the reports. */
function losses(...reports: readonly FailureReport[]): Record<number, string> {
  const of = (some: readonly FailureReport[]): Record<number, string> =>
    Object.fromEntries([...lostRanks(some)].map(([rank, report]) => [rank, report.error.message.slice(11)]));
  const result = of(reports);
  expect(Object.keys(of([...reports].reverse()))).to.deep.equal(Object.keys(result));
  return result;
}

describe('the ranks that are lost', () => {
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
