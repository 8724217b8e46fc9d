import { expect } from 'chai';
import { rightShare, transferRow, type TransferTrials } from '../../../bench/kv/measure_transfer.js';

const trials = (computed: number, brought: number, ...chosen: readonly boolean[]): TransferTrials => ({
  ...{ mbit: 100, tokens: 64, computedMs: [computed], broughtMs: [brought], chosen },
});

describe('figures of transfers', () => {
  it('are times to the first token, and which choices were the cheaper', () => {
    expect(transferRow(trials(40, 20, true, true, false, true))).to.deep.equal({
      ...{ mbit: 100, tokens: 64, computed_ms: 40, brought_ms: 20, ratio: 2, chosen_share: 0.75, right_share: 0.75 },
    });
    expect(transferRow(trials(20, 40, false, false))).to.include({ chosen_share: 0, right_share: 1 });
  });

  it('count either choice as right where both take as long', () => {
    expect(rightShare([trials(21, 20, true, false), trials(20, 40, true, true)])).to.equal(0.5);
  });
});
