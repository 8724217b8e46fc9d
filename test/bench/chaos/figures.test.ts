import { expect } from 'chai';
import { faultRows, totalsOf, type Seen } from '../../../bench/chaos/figures.js';
import type { Answer } from '../../../bench/chaos/load/answer.js';
import type { Sample } from '../../../bench/chaos/watch.js';
import { summary } from '../../../bench/chaos/report.js';

const sample = (atMs: number, numReplicas: number, more: Partial<Sample> = {}): Sample => ({
  ...{ atMs, numReplicas, numHomeless: 0, numExperts: 4, members: [0, 1], numMoved: 0, numRecomputed: 0 },
  ...more,
});
const answer = (more: Partial<Answer> = {}): Answer => ({
  ...{ tokenIds: [1, 2, 3], logprobs: [-1, -2, -3], timesMs: [0, 10, 20], numDegradedTokens: 0, error: null },
  ...more,
});

/** Rank 1 is killed at 100; that is heard at 150, a step without it runs at 160, and its replicas are made up for at 400. */
const SEEN: Seen = {
  befallen: [
    {
      fault: { kind: 'kill', when: 'apart', gapTokens: 1, ms: 0, draws: [0, 0] },
      victims: [1],
      start: sample(100, 8, { numRecomputed: 5 }),
      end: sample(500, 8, { numRecomputed: 12, numMoved: 4 }),
      isRecovered: true,
      note: null,
    },
  ],
  expected: [answer(), answer({ tokenIds: [7, 8, 9], timesMs: [0, 30] })],
  answers: [
    { request: 0, answer: answer({ timesMs: [90, 165, 170] }) },
    { request: 1, answer: answer({ tokenIds: [7, 8, 4], timesMs: [200, 210, 220] }) },
    { request: 1, answer: answer({ tokenIds: [7, 8, 9], logprobs: [-1, -2, -3.5], timesMs: [600, 610, 900] }) },
    { request: 0, answer: answer({ tokenIds: [1], error: 'RANK_LOST: gone', timesMs: [700] }) },
  ],
  samples: [sample(1, 8), sample(160, 6), sample(400, 8)],
  losses: [{ atMs: 150, ranks: [1] }],
};

describe('figures of faults', () => {
  it('a row tells of its own time alone: stall, notice, redundancy, work done again, and who noticed', () => {
    expect(faultRows(SEEN)).to.deep.equal([
      {
        ...{ kind: 'kill', when: 'apart', victims: [1], lost: [1], recovered: true, note: null },
        ...{ noticed_ms: 50, stall_ms: 75, redundancy_ms: 300, recomputed_tokens: 7, moved_experts: 4 },
        ...{ requests: 2, identical: 1 },
      },
    ]);
  });

  it('replicas that never come back have no time', () => {
    const [row] = faultRows({ ...SEEN, samples: SEEN.samples.slice(0, 2) });
    expect(row!.redundancy_ms).to.equal(null);
  });

  it('totals count all requests, and tell the same tokens from the same bits', () => {
    const totals = totalsOf(SEEN);
    expect(totals).to.deep.equal({
      ...{ requests: 4, identical: 2, bit_equal: 1, whole: 1, degraded: 0, failed: 1 },
      ...{ errors: ['RANK_LOST: gone'], quiet_stall_ms: 30 },
    });
    expect(summary(totals, faultRows(SEEN)).split('\n')).to.deep.equal([
      '4 requests: 2 identical, 1 to the bit of each probability, 0 degraded, 1 failed',
      'stall: median 75 ms, longest 75 ms; undisturbed 30 ms',
      'failed: RANK_LOST: gone',
    ]);
  });
});
