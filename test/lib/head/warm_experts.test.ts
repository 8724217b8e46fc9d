/** Jobs whose ranks keep copies in fewer bits of experts that are on disk. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import type { WeightDtype } from '../../../compute/base/weight_matrix.js';
import { scoreIds } from '../../kit/engine/engines.js';
import type { LocalEngine, LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { batch, frame, lostOf, PROMPT, withLocalEngine, type Story } from '../../kit/engine/masking.js';
import { shuffling } from '../../kit/engine/plannings.js';
import { isSameBits } from '../../refs/random.js';

/** Experts of tiny-deepseek-v3, in two layers. */
const NUM_EXPERTS = 32;
const MOVING = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0'].map(
  (key) => `load_balance.${key}`,
);
const bytesAs = (dtype: WeightDtype): number =>
  expertBytes({ hidden: 48, intermediate: 32 }, dtype, { kind: 'swiglu' });

interface Copies {
  readonly numResident: number;
  readonly own: WeightDtype;
  readonly numWarm: number;
  readonly dtype: WeightDtype;
}

/** Per rank. */
const withCopies = <T>(
  { numResident, own, numWarm, dtype }: Copies,
  { set = [], ...options }: LocalEngineOptions,
  use: (local: LocalEngine) => Promise<T>,
): Promise<T> => {
  const tiers = [
    `experts.resident=${own}`,
    `experts.max_resident_bytes=${numResident * bytesAs(own)}`,
    `experts.warm.bytes=${numWarm * bytesAs(dtype)}`,
    `experts.warm.dtype=${dtype}`,
  ];
  return withLocalEngine({ ...options, set: [...tiers, ...set] }, use);
};

/** The checkpoint has bfloat16: copies of it are what they are copies of. */
const EXACT = { own: 'f32', dtype: 'bf16' } as const;

const tiersOf = ({ models }: LocalEngine) => models.map((model) => model.tierStats()!);
const sumOf = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);

describe('a job with copies of experts in fewer bits', function () {
  this.timeout(120_000);
  let undisturbed: Story[];
  let logits: Float32Array;

  before(async () => {
    await withLocalEngine({ numRanks: 1 }, async (local) => {
      undisturbed = await batch(local);
      ({ logits } = await scoreIds(local.engine, PROMPT));
    });
  });

  it('waits for no expert any more that has one, and comes near the logits of experts that are all in memory', async () => {
    await withCopies(
      { numResident: 2, own: 'bf16', numWarm: NUM_EXPERTS, dtype: 'int8' },
      { numRanks: 1 },
      async (local) => {
        for (let i = 0; i < 3; i++) await batch(local);
        const before = tiersOf(local)[0]!;
        const scored = await scoreIds(local.engine, PROMPT);
        const after = tiersOf(local)[0]!;
        expect(sumOf(after.layers.warm)).to.be.above(sumOf(before.layers.warm));
        expect(sumOf(after.layers.waits)).to.equal(sumOf(before.layers.waits));
        expect(after.warm).to.include({ dtype: 'int8', numSlots: NUM_EXPERTS, residentBytes: after.warm!.maxBytes });
        expect(isSameBits(scored.logits, logits)).to.equal(false);
        const largest = Math.max(...logits.map(Math.abs));
        for (const [i, logit] of scored.logits.entries()) expect(logit).to.be.closeTo(logits[i]!, 0.05 * largest);
      },
    );
  });

  it('takes what both caps allow, and no more', async () => {
    const heldBytes = await withLocalEngine({ numRanks: 1, set: ['experts.resident=bf16'] }, async (local) => {
      await batch(local);
      return local.models[0]!.kernelStats().heldBytes;
    });
    await withCopies({ numResident: 4, own: 'bf16', numWarm: 8, dtype: 'int4' }, { numRanks: 1 }, async (local) => {
      await batch(local);
      const saved = heldBytes - local.models[0]!.kernelStats().heldBytes;
      const most = (NUM_EXPERTS - 4) * bytesAs('bf16') - 8 * bytesAs('int4');
      expect(saved).to.be.within(0.85 * most, most);
    });
  });

  const settings: (LocalEngineOptions & { readonly how: string; readonly numResident: number })[] = [
    { how: 'on one rank', numRanks: 1, numResident: 3 },
    { how: 'where the longest unused goes', numRanks: 1, numResident: 3, set: ['experts.tier_policy=lru'] },
    { how: 'on three ranks in two micro-batches', numRanks: 3, microBatches: 2, numResident: 1 },
    { how: 'in slices', numRanks: 2, numResident: 2, set: ['experts.slices=2'] },
  ];
  for (const { how, numResident, ...options } of settings)
    it(`has the tokens and bits of all resident where copies lose nothing, ${how}`, async () => {
      const expected = await withLocalEngine({ ...options, set: options.set ?? [] }, async (local) => ({
        stories: await batch(local),
        ...(await scoreIds(local.engine, PROMPT)),
      }));
      await withCopies({ ...EXACT, numResident, numWarm: 6 }, options, async (local) => {
        for (let i = 0; i < 3; i++) expect(await batch(local)).to.deep.equal(expected.stories);
        expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, expected.logits)).to.equal(true);
        for (const { layers, warm, residentBytes, maxBytes } of tiersOf(local)) {
          expect(sumOf(layers.warm)).to.be.above(0);
          expect(warm!.residentBytes).to.be.within(1, warm!.maxBytes);
          expect(residentBytes).to.be.within(1, maxBytes);
        }
      });
    });

  it('moves experts to other ranks, which never get a copy', async () => {
    const options = { numRanks: 3, set: MOVING, planning: shuffling(7) };
    await withCopies({ ...EXACT, numResident: 2, numWarm: 4 }, options, async (local) => {
      do expect(await batch(local)).to.deep.equal(undisturbed);
      while (local.rebalances.filter(({ kind }) => kind === 'done').length < 2);
      expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, logits)).to.equal(true);
      expect(sumOf(tiersOf(local).flatMap(({ layers }) => layers.warm))).to.be.above(0);
    });
  });

  it('loses a rank, and others take its experts over', async () => {
    const options: LocalEngineOptions = { numRanks: 3, onPeerLoss: 'recover', faults: [frame(1, 'dispatch', 0)] };
    await withCopies({ ...EXACT, numResident: 2, numWarm: 4 }, options, async (local) => {
      expect(await batch(local)).to.deep.equal(undisturbed);
      expect(lostOf(local)).to.deep.equal([[1]]);
    });
  });

  it('lets a rank join, which gets its share', async () => {
    const options: LocalEngineOptions = { numRanks: 2, numSeats: 3, onPeerLoss: 'recover' };
    await withCopies({ ...EXACT, numResident: 3, numWarm: 4 }, options, async (local) => {
      local.join();
      while (!local.homes.some(({ kind }) => kind === 'spread')) expect(await batch(local)).to.deep.equal(undisturbed);
      expect(tiersOf(local)[2]!.numHeld).to.be.within(10, 11);
    });
  });

  it('makes none where all that a rank may hold is in memory', async () => {
    await withCopies({ ...EXACT, numResident: NUM_EXPERTS, numWarm: 4 }, { numRanks: 1 }, async (local) => {
      await batch(local);
      expect(tiersOf(local)[0]!.warm).to.equal(undefined);
    });
  });
});
