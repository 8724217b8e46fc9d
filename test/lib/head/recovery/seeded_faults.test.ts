/** Jobs in one process under faults of many seeds, while ranks come and go: everything but sockets and processes is real. */
import { expect } from 'chai';
import { SeededJobs } from '../../../kit/engine/seeded_jobs.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** `npm run soak` sets more; a seed that failed is run alone with the first one. */
const NUM_SEEDS = Number(process.env.SOAK_SEEDS ?? 20);
const FIRST_SEED = Number(process.env.SOAK_FROM ?? 1);

describe(`faults of ${NUM_SEEDS} seeds`, function () {
  this.timeout(60_000 + 4000 * NUM_SEEDS);

  it('every request has the tokens, probabilities and routes that it would have had', () =>
    withTempFolder(async (dir) => {
      const jobs = new SeededJobs(dir);
      const seen = { lost: 0, epochs: 0 };
      for (let seed = FIRST_SEED; seed < FIRST_SEED + NUM_SEEDS; seed++) {
        const { drawn, expected, waves, numLost, numEpochs } = await jobs.run(seed);
        for (const [wave, told] of waves.entries()) {
          expect(told, JSON.stringify({ seed, wave, ...drawn })).to.deep.equal(expected);
        }
        seen.lost += numLost;
        seen.epochs += numEpochs;
      }
      expect(seen.lost).to.be.above(NUM_SEEDS / 2);
      expect(seen.epochs).to.be.above(seen.lost);
    }));
});
