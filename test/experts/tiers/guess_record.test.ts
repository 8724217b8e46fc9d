import { expect } from 'chai';
import { GuessRecord } from '../../../experts/tiers/guess_record.js';

describe('a record of guesses', () => {
  it('knows nothing of its like before some came true or not', () => {
    const record = new GuessRecord();
    for (let i = 0; i < 15; i++) record.count(0.9, true);
    expect(record.shareTrue(0.9)).to.equal(0);
    record.count(0.9, false);
    expect(record.shareTrue(0.9)).to.equal(15 / 16);
    expect(record.shareTrue(0.4), 'others').to.equal(0);
  });

  it('takes chances of 0 and 1', () => {
    const record = new GuessRecord();
    for (let i = 0; i < 20; i++) for (const chance of [0, 1]) record.count(chance, chance === 1);
    expect([0, 1].map((chance) => record.shareTrue(chance))).to.deep.equal([0, 1]);
  });

  it('forgets what was long ago', () => {
    const record = new GuessRecord();
    for (let i = 0; i < 5000; i++) record.count(0.6, true);
    for (let i = 0; i < 2000; i++) record.count(0.6, false);
    expect(record.shareTrue(0.6)).to.be.below(0.1);
  });
});
