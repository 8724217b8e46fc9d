import { expect } from 'chai';
import { verdict } from '../../../bench/chaos/verdict.js';

const ROWS = [
  { kind: 'kill', recovered: true },
  { kind: 'stop', recovered: true },
] as const;
const NEVER = [ROWS[0], { kind: 'stop', recovered: false }] as const;
const WHOLE = { requests: 9, whole: 9, failed: 0 };

describe('the end of a run under faults', () => {
  for (const [what, onPeerLoss, rows, totals, code] of [
    ['a request that is another one', 'recover', ROWS, { ...WHOLE, whole: 8 }, 'TOKENS_DIFFER'],
    ['a request that failed where losses are masked', 'mask', ROWS, { ...WHOLE, failed: 1 }, 'TOKENS_DIFFER'],
    ['the request rather than the replicas', 'recover', NEVER, { ...WHOLE, whole: 8 }, 'TOKENS_DIFFER'],
    ['replicas that never came back', 'recover', NEVER, WHOLE, 'NOT_RECOVERED'],
  ] as const) {
    it(`is a failure that names ${what}`, () => {
      const error = verdict({ onPeerLoss, seed: 7 }, rows, totals);
      expect(error).to.include({ code });
      expect(error!.message).to.contain('--seed 7');
    });
  }

  it('is none where all is as before, or where losses are masked and answers degraded', () => {
    expect(verdict({ onPeerLoss: 'recover', seed: 7 }, ROWS, WHOLE)).to.equal(null);
    expect(verdict({ onPeerLoss: 'mask', seed: 7 }, NEVER, { ...WHOLE, whole: 2 })).to.equal(null);
  });
});
