/** Jobs in one process under faults of many seeds, while ranks come and go: everything but sockets and processes is real. */
import { expect } from 'chai';
import type { LocalEngine } from '../../../kit/engine/local_engine.js';
import { batch, undisturbedBatch, withLocalEngine, type Story } from '../../../kit/engine/masking.js';
import { replicated } from '../../../kit/engine/placements.js';
import { seededFaults, type SeededChange } from '../../../kit/engine/seeded_faults.js';

/** `npm run soak` sets more; a seed that failed is run alone with the first one. */
const NUM_SEEDS = Number(process.env.SOAK_SEEDS ?? 40);
const FIRST_SEED = Number(process.env.SOAK_FROM ?? 1);

/** Experts move all the time. */
const MOVING = ['enabled=true', 'step_interval=2', 'cool_down=1', 'min_gain=0'].map((key) => `load_balance.${key}`);
/** Of one job: what changes behind a step of the first changes the others. */
const NUM_BATCHES = 3;
const NUM_SEATS = 7;

describe(`faults of ${NUM_SEEDS} seeds`, function () {
  this.timeout(60_000 + 4000 * NUM_SEEDS);
  let undisturbed: Story[];

  before(async () => {
    undisturbed = await undisturbedBatch('absorbed');
  });

  /** Does what is due behind a step. */
  function change(local: LocalEngine, { what, draw }: SeededChange): void {
    if (what === 'join') return local.join();
    if (what !== 'leave') return local.join(what);
    const { present, leaving } = local.job.members;
    const staying = [...present].filter((rank) => !leaving.has(rank));
    if (staying.length > 1) local.leave(staying[Math.floor(draw * staying.length)]!);
  }

  it('every request has the tokens, samples and routes that it would have had', async () => {
    const seen = { lost: 0, epochs: 0 };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + NUM_SEEDS; seed++) {
      const drawn = seededFaults(seed);
      const { numRanks, numReplicas, microBatches, isMoving, faults } = drawn;
      const job = { numRanks, microBatches, faults, placement: replicated(numReplicas), timeoutMs: 1500 };
      const recovering = { onPeerLoss: 'recover' as const, numSeats: NUM_SEATS, joinTimeoutMs: 1000 };
      await withLocalEngine({ ...job, ...recovering, ...(isMoving && { set: MOVING }) }, async (local) => {
        const changes = [...drawn.changes];
        local.engine.watch({
          step: ({ step }) => {
            const due = changes.filter((each) => each.step <= step);
            for (const each of due) {
              changes.splice(changes.indexOf(each), 1);
              change(local, each);
            }
          },
        });
        for (let i = 0; i < NUM_BATCHES; i++) {
          expect(await batch(local), JSON.stringify({ seed, batch: i, ...drawn })).to.deep.equal(undisturbed);
        }
        seen.lost += local.losses.flatMap(({ lost }) => lost).length;
        seen.epochs += local.job.members.epoch;
      });
    }
    expect(seen.lost).to.be.above(NUM_SEEDS / 2);
    expect(seen.epochs).to.be.above(seen.lost);
  });
});
