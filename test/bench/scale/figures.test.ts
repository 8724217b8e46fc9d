import { expect } from 'chai';
import type { Answered } from '../../../bench/chaos/load/load.js';
import { changeRows, totalsOf } from '../../../bench/scale/figures.js';

const SCALED = {
  ...{ before: 2, after: 4, joined: [2, 3], left: [], numMovedExperts: 8, numMovedSequences: 1, numRecomputed: 0 },
  ...{ ms: 30, firstMs: 10 },
};
const answered = (tokenIds: readonly number[], timesMs: readonly number[], error: string | null = null): Answered => ({
  request: 0,
  answer: { tokenIds, timesMs, logprobs: tokenIds.map(() => -1), numDegradedTokens: 0, error },
});

describe('figures of scaling', () => {
  it('tell the steps meanwhile from those before, and the longest gap of a stream that reaches into the change', () => {
    const change = { scaled: SCALED, quietFromMs: 0, fromMs: 100, toMs: 130 };
    const steps = [
      { atMs: 20, stepMs: 5, numRanks: 2, stallMs: 0 },
      { atMs: 60, stepMs: 7, numRanks: 2, stallMs: 0 },
      { atMs: 110, stepMs: 20, numRanks: 2, stallMs: 0 },
      { atMs: 125, stepMs: 9, numRanks: 4, stallMs: 3 },
      { atMs: 150, stepMs: 99, numRanks: 4, stallMs: 90 },
    ];
    const answers = [answered([1, 2, 3], [10, 60, 104]), answered([1, 2], [200, 300])];
    expect(changeRows([change], steps, answers)).to.deep.equal([
      {
        ...{ from: 2, to: 4, first_step_ms: 25, done_ms: 30, longest_step_ms: 20, quiet_median_ms: 6 },
        ...{
          quiet_longest_ms: 7,
          moving_stall_ms: 3,
          stall_ms: 44,
          moved_experts: 8,
          moved_sequences: 1,
          recomputed: 0,
        },
      },
    ]);
  });

  it('have no numbers where nothing ran', () => {
    const change = { scaled: SCALED, quietFromMs: 0, fromMs: 100, toMs: 130 };
    expect(changeRows([change], [], [])[0]).to.include({
      ...{ first_step_ms: null, longest_step_ms: null, quiet_median_ms: null, quiet_longest_ms: null, stall_ms: null },
    });
  });

  it('count requests whose tokens, and whose bits, are those of ranks that stay', () => {
    const { answer } = answered([1, 2], [1, 2]);
    const otherBits = { request: 0, answer: { ...answer, logprobs: [-1, -2] } };
    const answers = [answered([1, 2], []), otherBits, answered([1, 3], []), answered([], [], 'RANK_LOST: gone')];
    expect(totalsOf(answers, [answer])).to.deep.equal({
      ...{ requests: 4, identical: 2, bit_equal: 1, failed: 1, errors: ['RANK_LOST: gone'] },
    });
  });
});
