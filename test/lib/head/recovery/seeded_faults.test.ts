/** Jobs in one process under faults of many seeds: everything but sockets and processes is real. */
import { expect } from 'chai';
import { batch, lostOf, undisturbedBatch, withLocalEngine, type Story } from '../../../kit/engine/masking.js';
import { replicated } from '../../../kit/engine/placements.js';
import { seededFaults } from '../../../kit/engine/seeded_faults.js';

/** `npm run soak` sets more; a seed that failed is run alone with the first one. */
const NUM_SEEDS = Number(process.env.SOAK_SEEDS ?? 40);
const FIRST_SEED = Number(process.env.SOAK_FIRST_SEED ?? 1);

/** Experts move all the time. */
const MOVING = ['enabled=true', 'step_interval=2', 'cool_down=1', 'min_gain=0'].map((key) => `load_balance.${key}`);

describe(`faults of ${NUM_SEEDS} seeds`, function () {
  this.timeout(60_000 + 2000 * NUM_SEEDS);
  let undisturbed: Story[];

  before(async () => {
    undisturbed = await undisturbedBatch('absorbed');
  });

  it('every request has the tokens, samples and routes that it would have had', async () => {
    let numLost = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + NUM_SEEDS; seed++) {
      const { numRanks, numReplicas, microBatches, isMoving, faults } = seededFaults(seed);
      const job = { numRanks, microBatches, faults, placement: replicated(numReplicas), timeoutMs: 1500 };
      const options = { ...job, onPeerLoss: 'recover' as const, ...(isMoving && { set: MOVING }) };
      await withLocalEngine(options, async (local) => {
        const story = JSON.stringify({ seed, ...seededFaults(seed) });
        expect(await batch(local), story).to.deep.equal(undisturbed);
        numLost += lostOf(local).flat().length;
      });
    }
    expect(numLost).to.be.above(NUM_SEEDS / 2);
  });
});
