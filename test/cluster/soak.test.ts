/** Many dispatch and combine pairs between real processes: the same bits every time, memory that doesn't grow, and nobody who waits for ever. */
import { expect } from 'chai';
import { ExchangeJob } from '../kit/comm/exchange_job.js';
import { inputOf } from '../kit/comm/all_to_all.js';
import { refCombineSource } from '../refs/all_to_all_ref.js';

/** `npm run soak` sets 50000: 100,000 exchanges. */
const NUM_PAIRS = Number(process.env.SOAK_PAIRS ?? 1000);
const NUM_PARTS = 5;
/** What a rank may keep for itself more at the end than when it was warm: compiled code and V8's caches, but nothing per call. */
const MAX_GROWTH_BYTES = 2 * 1024 * 1024;
/** Of the process, whose allocator keeps what it got. */
const MAX_RESIDENT_GROWTH_BYTES = 48 * 1024 * 1024;

/** Of a batch: none, one, some, and more than a payload that is small. */
const SIZES = [1, 0, 16, 90, 7, 33];
const SHAPE = { hidden: 32, numTopk: 4, timeoutMs: 30_000 };

describe(`a soak of ${NUM_PAIRS} dispatch and combine pairs of mixed sizes`, function () {
  this.timeout(60_000 + 20 * NUM_PAIRS);

  it('gives the same bits every time and keeps memory flat', async () => {
    const size = 3;
    const ranks = [0, 1, 2];
    const numTokens = ranks.map((rank) => SIZES[rank]!);
    const job = await ExchangeJob.start({ ...SHAPE, size, numTokens });
    try {
      const each = SIZES.length * Math.ceil(NUM_PAIRS / NUM_PARTS / SIZES.length);
      const parts: { heap: number; resident: number }[][] = [];
      for (let part = 0; part < NUM_PARTS; part++) {
        const replies = await job.askAll(ranks, { kind: 'pairs', from: part * each, count: each, sizes: SIZES });
        for (const [rank, { error, y, heapBytes, residentBytes }] of replies.entries()) {
          expect(error).to.equal(undefined);
          const expected = refCombineSource(inputOf({ ...job.setup, rank }, rank), job.setup);
          expect(y).to.deep.equal([...expected]);
          (parts[rank] ??= []).push({ heap: heapBytes!, resident: residentBytes! });
        }
      }
      for (const [rank, samples] of parts.entries()) {
        // The first part warms up: after it nothing is kept per call.
        const growth = (of: 'heap' | 'resident'): number => samples.at(-1)![of] - samples[1]![of];
        const told = `rank ${rank} after each part: ${JSON.stringify(samples)}`;
        expect(growth('heap'), told).to.be.below(MAX_GROWTH_BYTES);
        expect(growth('resident'), told).to.be.below(MAX_RESIDENT_GROWTH_BYTES);
      }
      await job.close(ranks);
    } finally {
      await job.kill();
    }
  });
});

describe('many more ranks than cores', function () {
  this.timeout(120_000);

  it('16 processes exchange batches of mixed sizes, and all get what they should', async () => {
    const ranks = Array.from({ length: 16 }, (_, rank) => rank);
    const numTokens = ranks.map((rank) => SIZES[rank % SIZES.length]!);
    const job = await ExchangeJob.start({ ...SHAPE, size: ranks.length, numTokens, timeoutMs: 60_000 });
    try {
      const replies = await job.askAll(ranks, { kind: 'pairs', from: 0, count: 2 * SIZES.length, sizes: SIZES });
      for (const [rank, { error, y }] of replies.entries()) {
        expect(error).to.equal(undefined);
        expect(y).to.deep.equal([...refCombineSource(inputOf({ ...job.setup, rank }, rank), job.setup)]);
      }
      await job.close(ranks);
    } finally {
      await job.kill();
    }
  });
});
