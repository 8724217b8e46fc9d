/** Many dispatch and combine pairs between real processes: the same bits every time, and memory that doesn't grow. */
import { expect } from 'chai';
import { ExchangeJob } from '../kit/comm/exchange_job.js';
import { inputOf } from '../kit/comm/all_to_all.js';
import { refCombineSource } from '../refs/all_to_all_ref.js';

/** `npm run soak` sets 10000. */
const NUM_PAIRS = Number(process.env.SOAK_PAIRS ?? 1500);
const NUM_PARTS = 5;
/** What a rank may keep for itself more at the end than when it was warm: compiled code and V8's caches, but nothing per call. */
const MAX_GROWTH_BYTES = 2 * 1024 * 1024;

describe(`a soak of ${NUM_PAIRS} dispatch and combine pairs`, function () {
  this.timeout(60_000 + 20 * NUM_PAIRS);

  it('gives the same bits every time and keeps memory flat', async () => {
    const size = 3;
    const ranks = [0, 1, 2];
    const job = await ExchangeJob.start({ size, hidden: 32, numTopk: 4, numTokens: [16, 0, 9], timeoutMs: 30_000 });
    try {
      const each = Math.floor(NUM_PAIRS / NUM_PARTS);
      const heap: number[][] = [];
      for (let part = 0; part < NUM_PARTS; part++) {
        const replies = await job.askAll(ranks, { kind: 'pairs', from: part * each, count: each });
        for (const [rank, { error, y, heapBytes }] of replies.entries()) {
          expect(error).to.equal(undefined);
          const expected = refCombineSource(inputOf({ ...job.setup, rank }, rank), job.setup);
          expect(y).to.deep.equal([...expected]);
          (heap[rank] ??= []).push(heapBytes!);
        }
      }
      for (const [rank, samples] of heap.entries()) {
        // The first part warms up: after it nothing is kept per call.
        const growth = samples.at(-1)! - samples[1]!;
        expect(growth, `heap of rank ${rank} after each part: ${samples.join(', ')}`).to.be.below(MAX_GROWTH_BYTES);
      }
      await job.close(ranks);
    } finally {
      await job.kill();
    }
  });
});
