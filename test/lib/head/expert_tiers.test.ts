/** Jobs whose ranks keep some of their experts on disk. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { truncate, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { ExpertError } from '../../../compute/base/errors.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import { expertSizesOf } from '../../../lib/model/spec/spec.js';
import { expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import { scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine, type LocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { batch, frame, generate, lostOf, PROMPT, withLocalEngine, type Story } from '../../kit/engine/masking.js';
import { replicated } from '../../kit/engine/placements.js';
import { shuffling } from '../../kit/engine/plannings.js';
import { copyModel } from '../../kit/model/model_copy.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

/** Experts of tiny-deepseek-v3, in two layers. */
const NUM_EXPERTS = 32;
const MOVING = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0'].map(
  (key) => `load_balance.${key}`,
);

/** In memory of so many experts of a rank. */
const tiered = <T>(
  numResident: number,
  { set = [], ...options }: LocalEngineOptions,
  use: (local: LocalEngine) => Promise<T>,
): Promise<T> =>
  withLocalEngine({ ...options, set: [`experts.max_resident_bytes=${numResident * EACH_BYTES}`, ...set] }, use);

const EACH_BYTES = expertBytes({ hidden: 48, intermediate: 32 }, 'bf16', { kind: 'swiglu' });

const tiersOf = ({ models }: LocalEngine) => models.map((model) => model.tierStats()!);

describe('a job with experts on disk', function () {
  this.timeout(120_000);
  let undisturbed: Story[];
  let logits: Float32Array;
  let heldBytes: number;

  before(async () => {
    await withLocalEngine({ numRanks: 1 }, async (local) => {
      undisturbed = await batch(local);
      ({ logits } = await scoreIds(local.engine, PROMPT));
      heldBytes = local.models[0]!.kernelStats().heldBytes;
      expect(expertSizesOf(local.engine.spec)).to.include({ hidden: 48, intermediate: 32 });
      expect(local.models[0]!.tierStats()).to.equal(null);
    });
  });

  const settings: (LocalEngineOptions & { readonly how: string })[] = [
    { how: 'on one rank', numRanks: 1 },
    { how: 'on three ranks in two micro-batches', numRanks: 3, microBatches: 2 },
    { how: 'with replicas', numRanks: 2, placement: replicated(2) },
    { how: 'where the longest unused goes', numRanks: 1, set: ['experts.tier_policy=lru'] },
    { how: 'in slices', numRanks: 2, set: ['experts.slices=2'] },
    { how: 'of which some come later', numRanks: 2, set: ['experts.defer=1'] },
  ];
  for (const { how, ...options } of settings) {
    it(`has the tokens and bits of all resident at 10, 25 and 50 % of its experts, ${how}`, async () => {
      const expected =
        options.set === undefined
          ? { stories: undisturbed, logits }
          : await withLocalEngine(options, async (local) => ({
              stories: await batch(local),
              ...(await scoreIds(local.engine, PROMPT)),
            }));
      for (const share of [0.1, 0.25, 0.5]) {
        const numResident = Math.ceil((share * NUM_EXPERTS) / options.numRanks);
        await tiered(numResident, options, async (local) => {
          expect(await batch(local)).to.deep.equal(expected.stories);
          expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, expected.logits), `${share}`).to.equal(true);
          for (const { residentBytes, maxBytes, numReads, numHeld, numSlots } of tiersOf(local)) {
            expect(residentBytes).to.be.within(1, maxBytes);
            expect(numReads).to.be.above(0);
            expect(numSlots).to.be.below(numHeld);
          }
        });
      }
    });
  }

  it('takes less of its memories by what isn’t there', async () => {
    await tiered(8, { numRanks: 1 }, async (local) => {
      await batch(local);
      await scoreIds(local.engine, PROMPT);
      const saved = heldBytes - local.models[0]!.kernelStats().heldBytes;
      // Rows that wait for a later wave take a little.
      expect(saved).to.be.within(0.9 * (NUM_EXPERTS - 8) * EACH_BYTES, (NUM_EXPERTS - 8) * EACH_BYTES);
    });
  });

  it('moves experts to other ranks, also those that are on disk', async () => {
    await tiered(3, { numRanks: 3, set: MOVING, planning: shuffling(7) }, async (local) => {
      do expect(await batch(local)).to.deep.equal(undisturbed);
      while (local.rebalances.filter(({ kind }) => kind === 'done').length < 2);
      expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, logits)).to.equal(true);
      for (const { residentBytes, maxBytes } of tiersOf(local)) expect(residentBytes).to.be.at.most(maxBytes);
    });
  });

  it('looks at the files behind rows of experts that leave late in a step, too', async () => {
    await tiered(3, { numRanks: 3, set: MOVING, planning: shuffling(7) }, async (local) => {
      const model = local.models[1]!;
      const executor = local.executors[1]!;
      const rows = model.shard.rows.bind(model.shard);
      let seen: 'nothing' | 'rows' | 'files' = 'nothing';
      let numSteps = 0;
      const waiting: (() => void)[] = [];
      Object.assign(model.shard, {
        rows: async (...args: Parameters<typeof rows>) => {
          await new Promise<void>((resolve) => waiting.push(resolve)); // until the step is computed
          const read = await rows(...args);
          seen = 'rows';
          return read;
        },
      });
      const [settle, run] = [model.settle.bind(model), executor.run.bind(executor)];
      Object.assign(model, {
        settle: async () => {
          await settle();
          if (seen === 'rows') seen = 'files';
          for (const goOn of waiting.splice(0)) goOn();
        },
      });
      Object.assign(executor, {
        run: async (...args: Parameters<typeof run>) => {
          const result = await run(...args);
          expect(seen).to.not.equal('rows');
          numSteps += Number(seen === 'files');
          seen = 'nothing';
          return result;
        },
      });
      do expect(await batch(local)).to.deep.equal(undisturbed);
      while (local.rebalances.filter(({ kind }) => kind === 'done').length < 1);
      expect(numSteps).to.be.above(0);
    });
  });

  it('sends experts of another type than on disk, for all of which one place must do', async () => {
    const set = [...MOVING, 'experts.resident=f32'];
    // A place of float32 takes what two of bf16 do.
    await tiered(2, { numRanks: 3, set, planning: shuffling(9) }, async (local) => {
      expect(tiersOf(local).map(({ numSlots }) => numSlots)).to.deep.equal([1, 1, 1]);
      do expect(await batch(local)).to.deep.equal(undisturbed);
      while (local.rebalances.filter(({ kind }) => kind === 'done').length < 2);
      expect(local.losses).to.deep.equal([]);
    });
  });

  it('loses a rank, and others take its experts over', async () => {
    const options: LocalEngineOptions = { numRanks: 3, onPeerLoss: 'recover', faults: [frame(1, 'dispatch', 0)] };
    await tiered(3, options, async (local) => {
      expect(await batch(local)).to.deep.equal(undisturbed);
      expect(lostOf(local)).to.deep.equal([[1]]);
    });
  });

  it('goes on without a rank that can’t read an expert, where others may take its experts over', async () => {
    await tiered(3, { numRanks: 3, onPeerLoss: 'recover' }, async (local) => {
      expect(await batch(local)).to.deep.equal(undisturbed);
      const reads = { settle: () => Promise.reject(new ExpertError('EXPERT_UNREADABLE', 'of this test; go on')) };
      Object.assign(local.models[1]!, reads);
      expect(await batch(local)).to.deep.equal(undisturbed);
      expect(lostOf(local)).to.deep.equal([[1]]);
    });
  });

  it('lets a rank join, which gets its share', async () => {
    await tiered(4, { numRanks: 2, numSeats: 3, onPeerLoss: 'recover' }, async (local) => {
      local.join();
      while (!local.homes.some(({ kind }) => kind === 'spread')) expect(await batch(local)).to.deep.equal(undisturbed);
      expect(tiersOf(local)[2]!.numHeld).to.be.within(10, 11);
    });
  });

  const harms: readonly (readonly [what: string, harm: (file: string) => Promise<void>, told: RegExp])[] = [
    [
      'was written to',
      (file) => utimes(file, 1, 1),
      /CHECKPOINT_CHANGED: .*model\.safetensors was written.*; restore the file/,
    ],
    [
      'is cut off',
      (file) => truncate(file, 20_000),
      /EXPERT_UNREADABLE: expert \d+ of layer \d+ is not resident and can't be read: .*model\.safetensors ends at byte.*; restore the file/,
    ],
  ];
  for (const [what, harm, told] of harms)
    it(`ends in the middle of a step with what can't be read, the file and what to do where the file ${what}`, async () => {
      await withTempFolder(async (dir) => {
        await copyModel(tinyModel('tiny-deepseek-v3'), dir);
        const set = [`experts.max_resident_bytes=${3 * EACH_BYTES}`];
        const local = await startLocalEngine(dir, { numRanks: 2, onPeerLoss: 'fail', set });
        try {
          await generate(local, {});
          await harm(join(dir, 'model.safetensors'));
          const error = await errorOf(EngineError, () => generate(local, { promptTokenIds: [9, 8, 7, 6, 5] }));
          expect(error.message).to.match(told);
        } finally {
          await local.close();
        }
      });
    });
});
