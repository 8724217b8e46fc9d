import { expect } from 'chai';
import { killFigures, meanOfAll } from '../../../../bench/experiment/serving/fault_figures.js';
import type { Sample } from '../../../../bench/chaos/watch.js';

describe('figures of kills', () => {
  const sample = (atMs: number, numHomeless: number): Sample => ({
    ...{ atMs, numHomeless, numReplicas: 8, numExperts: 8, members: [0, 1], numMoved: 0, numRecomputed: 0 },
  });
  const kill = (rank: number, atMs: number) => ({ victims: [rank], start: sample(atMs, 0) });

  it('say when the job goes on without the rank, and when each expert has a home', () => {
    const losses = [
      { atMs: 120, ranks: [2] },
      { atMs: 330, ranks: [1] },
    ];
    const samples = [sample(0, 0), sample(125, 3), sample(180, 0), sample(340, 2)];
    expect(killFigures([kill(2, 100), kill(1, 300), kill(0, 400)], { losses, samples })).to.deep.equal([
      { rank: 2, atMs: 100, noticedMs: 20, recoveredMs: 80 },
      { rank: 1, atMs: 300, noticedMs: 30, recoveredMs: null }, // an expert is without a home to the end
      { rank: 0, atMs: 400, noticedMs: null, recoveredMs: null }, // the load was over
    ]);
  });

  it('have a mean only where all are known', () => {
    expect(meanOfAll([10, 20])).to.equal(15);
    expect([meanOfAll([]), meanOfAll([10, null])]).to.deep.equal([null, null]);
  });
});
