import { expect } from 'chai';
import { CommError } from '../../../../comm/index.js';
import { Refusals } from '../../../../comm/ws/door/refusals.js';

describe('refusals', () => {
  it('are told once per address and reason, with the number of those that were not', () => {
    const told: string[] = [];
    const refusals = new Refusals((error, { address, numSuppressed }) =>
      told.push(`${address} ${error.code} ${numSuppressed}`),
    );
    for (let i = 0; i < 4; i++) refusals.report('a', new CommError('AUTH_FAILED', 'who?'));
    refusals.report('b', new CommError('AUTH_FAILED', 'who?'));
    refusals.report('a', new CommError('TIMEOUT', 'silent'));
    expect(told).to.deep.equal(['a AUTH_FAILED 0', 'b AUTH_FAILED 3', 'a TIMEOUT 0']);
  });

  it('are told at most ten times a minute, however many addresses ask', () => {
    let now = 0;
    const told: number[] = [];
    const refusals = new Refusals(
      (_, { numSuppressed }) => told.push(numSuppressed),
      () => now,
    );
    for (let i = 0; i < 1000; i++) refusals.report(`host ${i}`, new CommError('AUTH_FAILED', 'who?'));
    expect(told).to.deep.equal(new Array(10).fill(0));
    now += 6000;
    for (let i = 1000; i < 1010; i++) refusals.report(`host ${i}`, new CommError('AUTH_FAILED', 'who?'));
    expect(told.slice(10)).to.deep.equal([990]);
    now += 3_600_000;
    for (let i = 2000; i < 2100; i++) refusals.report(`host ${i}`, new CommError('AUTH_FAILED', 'who?'));
    expect(told.length).to.equal(21);
  });
});
