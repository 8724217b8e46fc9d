import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../compute/base/errors.js';
import { placementFrom, withoutRanks, type Placement } from '../../../experts/placement/placement.js';
import {
  createReplicaChooser,
  REPLICA_CHOICES,
  type ReplicaChoice,
} from '../../../experts/placement/replica_choice.js';
import { errorOf } from '../../kit/rejects.js';
import { heldOf, lowestMaximum } from '../../refs/placement_ref.js';
import { countsOfRef, inTurnRef, replicasOf, sentTo } from '../../refs/replica_choice_ref.js';

/** What every rank of a job chooses for its batch, by rank. */
async function chooseAll(
  choice: ReplicaChoice,
  batches: readonly (readonly number[])[],
  placement: Placement,
  { ranksPerNode, layer = 0 }: { readonly ranksPerNode?: number; readonly layer?: number } = {},
): Promise<number[][]> {
  const counts: Int32Array[] = batches.map(() => new Int32Array(0));
  let settle!: (counts: readonly Int32Array[]) => void;
  const all = new Promise<readonly Int32Array[]>((resolve) => (settle = resolve));
  let numGathered = 0;
  return Promise.all(
    batches.map(async (batch, rank) => {
      const gather = (counts_E: Int32Array): Promise<readonly Int32Array[]> => {
        counts[rank] = counts_E.slice();
        if (++numGathered === batches.length) settle(counts);
        return all;
      };
      const chooser = createReplicaChooser(choice, { rank, ...(ranksPerNode && { ranksPerNode }) }, gather);
      return [...(await chooser.choose(Int32Array.from(batch), placement, layer))];
    }),
  );
}

/** Placements with any number of replicas, none and several on one rank included, and a batch for each rank. */
const jobs = fc
  .record({
    numExperts: fc.integer({ min: 1, max: 8 }),
    numRanks: fc.integer({ min: 1, max: 6 }),
    slots: fc.integer({ min: 1, max: 4 }),
  })
  .chain(({ numExperts, numRanks, slots }) => {
    const logical = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: -1, max: numExperts - 1 }) }, fc.constant(0));
    const size = { minLength: numRanks, maxLength: numRanks };
    const width = { minLength: numRanks * slots, maxLength: numRanks * slots };
    return fc.record({
      numRanks: fc.constant(numRanks),
      placement: fc
        .array(fc.integer({ min: -1, max: numExperts - 1 }), width)
        .map((table) => placementFrom(0, numRanks, numExperts, [new Int32Array(table.length), Int32Array.from(table)])),
      batches: fc.array(fc.array(logical, { maxLength: 24 }), size),
    });
  });

const layer = 1;

describe('replica choice', () => {
  for (const choice of REPLICA_CHOICES) {
    it(`${choice}: every choice is a replica of its expert, −1 only where nothing was chosen or no replica is left`, async () => {
      await fc.assert(
        fc.asyncProperty(jobs, async ({ placement, batches }) => {
          const chosen = await chooseAll(choice, batches, placement, { layer });
          batches.forEach((batch, rank) => {
            batch.forEach((logical, i) => {
              const replicas = logical < 0 ? [] : replicasOf(placement, layer, logical).map(({ p }) => p);
              expect(replicas.length === 0 ? [-1] : replicas).to.include(chosen[rank]![i]);
            });
            expect(chosen[rank]).to.have.length(batch.length);
          });
          expect(await chooseAll(choice, batches, placement, { layer })).to.deep.equal(chosen);
        }),
      );
    });
  }

  it('round_robin: all replicas in turn, each rank from another one on', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, async ({ placement, batches }) => {
        const expected = batches.map((batch, rank) => inTurnRef(batch, placement, layer, rank, null));
        expect(await chooseAll('round_robin', batches, placement, { layer })).to.deep.equal(expected);
      }),
    );
  });

  it('local_first: replicas on the own rank, else on the own node, else all, in turn', async () => {
    const nodes = jobs.chain((job) =>
      fc.record({ job: fc.constant(job), perNode: fc.integer({ min: 1, max: job.numRanks }) }),
    );
    await fc.assert(
      fc.asyncProperty(nodes, async ({ job: { placement, batches }, perNode }) => {
        const expected = batches.map((batch, rank) => inTurnRef(batch, placement, layer, rank, perNode));
        const chosen = await chooseAll('local_first', batches, placement, { layer, ranksPerNode: perNode });
        expect(chosen).to.deep.equal(expected);
      }),
    );
  });

  it('balanced: of each batch, the rank that gets most gets as little as possible', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, async ({ placement, batches }) => {
        const chosen = await chooseAll('balanced', batches, placement, { layer });
        const held = heldOf(placement, layer);
        batches.forEach((batch, rank) => {
          const lowest = lowestMaximum(countsOfRef(batch, placement.numExperts[layer]!), held);
          expect(Math.max(...sentTo(placement, chosen[rank]!))).to.equal(Math.ceil(lowest - 1e-9));
        });
      }),
      { numRuns: 500 },
    );
  });

  it('allgather: of all batches together, the rank that gets most gets as little as possible', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, async ({ placement, batches }) => {
        const chosen = await chooseAll('allgather', batches, placement, { layer });
        const lowest = lowestMaximum(
          countsOfRef(batches.flat(), placement.numExperts[layer]!),
          heldOf(placement, layer),
        );
        expect(Math.max(...sentTo(placement, chosen.flat()))).to.equal(Math.ceil(lowest - 1e-9));
      }),
      { numRuns: 500 },
    );
  });

  it('allgather: of its share, a rank uses its own replicas first', async () => {
    // Expert 0 on both ranks; rank 1 also has expert 1, which all want once.
    const placement = placementFrom(0, 2, 2, [Int32Array.of(0, -1, 0, 1)]);
    const chosen = await chooseAll(
      'allgather',
      [
        [0, 0, 1],
        [0, 0, 0, 1],
      ],
      placement,
    );
    // 4 of 7 to rank 1: expert 1 twice, and twice rank 1's own copy of expert 0.
    expect(chosen).to.deep.equal([
      [0, 0, 3],
      [2, 0, 2, 3],
    ]);
  });

  it('allgather: layers without redundancy ask nobody', async () => {
    const placement = placementFrom(0, 2, 2, [Int32Array.of(0, 1)]);
    const chooser = createReplicaChooser('allgather', { rank: 0 }, () => Promise.reject(new Error('asked')));
    expect([...(await chooser.choose(Int32Array.of(1, 0, -1), placement, 0))]).to.deep.equal([1, 0, -1]);
  });

  it('allgather without a way to gather is refused', async () => {
    const error = await errorOf(ExpertError, () => createReplicaChooser('allgather', { rank: 0 }));
    expect(error.code).to.equal('INVALID_ARGUMENT');
  });

  for (const choice of ['balanced', 'round_robin'] as const) {
    it(`${choice}: batches of one token use every copy alike, and a rank its own where it has one`, async () => {
      for (const numRanks of [2, 4, 8]) {
        // Expert 0 on the first half of the ranks, expert 1 on all.
        const table = Array.from({ length: numRanks }, (_, rank) => [rank < numRanks / 2 ? 0 : -1, 1]).flat();
        const placement = placementFrom(0, numRanks, 2, [Int32Array.from(table)]);
        for (const logical of [0, 1]) {
          const chosen = await chooseAll(
            choice,
            Array.from({ length: numRanks }, () => [logical]),
            placement,
          );
          const loads = sentTo(placement, chosen.flat());
          const half = Array.from({ length: numRanks }, (_, rank) => (rank < numRanks / 2 ? 2 : 0));
          expect(loads).to.deep.equal(logical === 0 ? half : half.map(() => 1));
          if (choice === 'balanced' && logical === 1) expect(sentTo(placement, chosen[1]!)[1]).to.equal(1);
        }
      }
    });
  }

  it('balanced: the copies of an expert take turns, so that each micro-batch is balanced too', async () => {
    const placement = placementFrom(0, 2, 1, [Int32Array.of(0, 0)]);
    const [chosen] = await chooseAll('balanced', [new Array<number>(8).fill(0)], placement);
    expect(chosen).to.deep.equal([0, 1, 0, 1, 0, 1, 0, 1]);
  });

  it('of a placement without a lost rank, only replicas elsewhere are chosen', async () => {
    const placement = withoutRanks(placementFrom(0, 3, 2, [Int32Array.of(0, 1, 0, -1, 0, -1)]), [0]);
    for (const choice of REPLICA_CHOICES) {
      const [, chosen] = await chooseAll(choice, [[], [0, 0, 1, 0], []], placement);
      expect(
        chosen!.filter((p) => p >= 0).every((p) => p === 2 || p === 4),
        choice,
      ).to.equal(true);
      expect(chosen![2], choice).to.equal(-1);
    }
  });
});
