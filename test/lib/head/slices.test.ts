/** Jobs whose experts are sliced: what people see is of whole experts, and what happens to ranks changes nothing. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LoadRecorder } from '../../../experts/load/load_recorder.js';
import { RECORD_MODES } from '../../../experts/load/recording.js';
import { recordedLoad } from '../../../experts/routing/recorded_routing.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import { ConfigError } from '../../../lib/config/errors.js';
import { jobSpec, slicedSpec } from '../../../lib/head/slice_choice.js';
import { heldExperts } from '../../../lib/model/weights/sliced_experts.js';
import { expertSizesOf, moeLayersOf } from '../../../lib/model/spec/spec.js';
import { numHeldOf, withSlices } from '../../../lib/model/spec/slices.js';
import { openWeights } from '../../../lib/model/stored/model_weights.js';
import { scoreIds } from '../../kit/engine/engines.js';
import type { LocalEngine, LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { batch, frame, generate, lostOf, PROMPT, withLocalEngine, type Story } from '../../kit/engine/masking.js';
import { replicated } from '../../kit/engine/placements.js';
import { shuffling } from '../../kit/engine/plannings.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const MODEL = tinyModel('tiny-deepseek-v3');
const SLICED = ['experts.slices=2'];
const MOVING = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0'].map(
  (key) => `load_balance.${key}`,
);

const sliced = <T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> =>
  withLocalEngine({ ...options, set: [...SLICED, ...(options.set ?? [])] }, use);

/** Every slot of every rank holds the weights of its slice, to the bit. */
async function expectRightWeights({ engine, models, executors }: LocalEngine): Promise<void> {
  const { spec } = engine;
  const weights = await openWeights(MODEL, spec);
  const source = heldExperts(weights, spec);
  const { hidden, intermediate } = expertSizesOf(spec);
  for (const [rank, executor] of executors.entries()) {
    for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
      for (const [slot, held] of executor.standing.slots[moeLayer]!.entries()) {
        if (held < 0) continue;
        const { gate, up, down } = await source.expert(layer, held);
        const rows = await models[rank]!.shard.rows(layer, slot, 0, 2 * intermediate + hidden);
        const expected = Buffer.concat([gate.bytes, up.bytes, down.bytes]);
        expect(Buffer.concat(rows).equals(expected), `${layer} ${rank} ${slot}`).to.equal(true);
      }
    }
  }
  await weights.close();
}

describe('a job with sliced experts', function () {
  this.timeout(60_000);
  let undisturbed: Story[];
  let logits: Float32Array;

  before(async () => {
    await sliced({ numRanks: 2 }, async (local) => {
      undisturbed = await batch(local);
      ({ logits } = await scoreIds(local.engine, PROMPT));
    });
    const whole = await withLocalEngine({ numRanks: 2 }, batch);
    expect(undisturbed.map(({ tokenIds }) => tokenIds)).to.deep.equal(whole.map(({ tokenIds }) => tokenIds));
    expect(undisturbed.map(({ routedExperts }) => routedExperts)).to.deep.equal(
      whole.map(({ routedExperts }) => routedExperts),
    );
  });

  const settings: (LocalEngineOptions & { readonly how: string })[] = [
    { how: 'in two micro-batches', numRanks: 3, microBatches: 2 },
    { how: 'with replicas', numRanks: 4, placement: replicated(2) },
    { how: 'while slices move', numRanks: 3, set: MOVING, planning: shuffling(3) },
  ];
  for (const { how, ...options } of settings) {
    it(`has the same tokens and bits ${how}`, async () => {
      await sliced(options, async (local) => {
        const isMoving = options.set !== undefined;
        do expect(await batch(local)).to.deep.equal(undisturbed);
        while (isMoving && !local.rebalances.some(({ kind }) => kind === 'done'));
        expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, logits)).to.equal(true);
        await expectRightWeights(local);
      });
    });
  }

  it('loses a rank, whose slices others read again, without a token that differs', async () => {
    await sliced({ numRanks: 3, onPeerLoss: 'recover', faults: [frame(1, 'dispatch', 0)] }, async (local) => {
      expect(await batch(local)).to.deep.equal(undisturbed);
      expect(lostOf(local)).to.deep.equal([[1]]);
      expect(local.engine.stats()).to.deep.include({ lostRanks: [1], numDegradedTokens: 0 });
      const [first] = local.homes; // slices 11 … 21 of two layers: of 6 experts each
      expect(first).to.include({ kind: 'recovered', numExperts: 12 });
      expect(local.engine.placement.logcnt.flatMap((counts) => [...counts])).to.satisfy((counts: number[]) =>
        counts.every((count) => count >= 2),
      );
    });
  });

  it('lets a rank join, which gets its share of slices', async () => {
    await sliced({ numRanks: 2, numSeats: 3, onPeerLoss: 'recover' }, async (local) => {
      expect(await batch(local)).to.deep.equal(undisturbed);
      local.join();
      while (!local.homes.some(({ kind }) => kind === 'spread')) expect(await batch(local)).to.deep.equal(undisturbed);
      expect(local.models[2]!.shard.stats().numExperts).to.be.within(20, 22);
      expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, logits)).to.equal(true);
    });
  });

  it('counts a token as degraded whose expert lost one of its slices', async () => {
    const step = 4;
    const numRanks = 5;
    const placement: LocalEngineOptions['placement'] = (spec) =>
      createPlacement('round_robin', { numLayers: moeLayersOf(spec).length, numExperts: numHeldOf(spec), numRanks });
    await sliced({ numRanks, placement, faults: [frame(4, 'combine', 0, step)] }, async (local) => {
      const { routedExperts, numDegradedTokens } = await generate(local, {});
      expect(lostOf(local)).to.deep.equal([[4]]);
      const isLost = (expert: number): boolean => [2 * expert, 2 * expert + 1].some((slice) => slice % numRanks === 4);
      const after = routedExperts.slice(PROMPT.length + step - 2);
      const expected = after.filter((layers) => layers.some((experts) => experts.some(isLost)));
      expect(expected.length).to.be.within(1, after.length);
      expect(numDegradedTokens).to.equal(expected.length);
      const { expertLoad } = local.engine.stats();
      const choices = routedExperts.flatMap((layers) =>
        layers.flatMap((experts, layer) => experts.map((e) => [layer, e])),
      );
      const sum = expertLoad.reduce((all, row) => row.reduce((a, b) => a + b, all), 0);
      const numMissed = after.flat(2).filter(isLost).length;
      expect(sum, 'choices that were computed whole').to.equal(choices.length - numMissed);
    });
  });

  it('shows loads, placements and recordings of whole experts', async () => {
    const counted = async (set: readonly string[]) =>
      withLocalEngine({ numRanks: 3, set }, async (local) => {
        await batch(local);
        const { expertLoad, windowLoad, rankLoad } = local.engine.stats();
        return { expertLoad, windowLoad, rankLoad, placement: local.engine.placement };
      });
    const [whole, parts] = [await counted([]), await counted(SLICED)];
    expect(parts.expertLoad).to.deep.equal(whole.expertLoad);
    expect(parts.windowLoad).to.deep.equal(whole.windowLoad);
    expect(parts.placement.logcnt.every((counts) => counts.every((count) => count === 2))).to.equal(true);
    const sumOf = (loads: readonly Float64Array[]): number =>
      loads.reduce((sum, row) => row.reduce((a, b) => a + b, sum), 0);
    expect(sumOf(parts.rankLoad)).to.equal(2 * sumOf(whole.rankLoad));
  });

  for (const mode of RECORD_MODES) {
    it(`records (${mode}) which ranks computed parts of which experts while slices move`, async () => {
      await withTempFolder(async (dir) => {
        const file = join(dir, 'r');
        const slots = { numRanks: 3, numSlots: 33 };
        const shape = { numLayers: 2, numExperts: 16, numTopk: 4, slots };
        const observer = await LoadRecorder.create(
          file,
          { mode, model: 'm', createdBy: 'test', ...shape },
          { windowSize: 5 },
        );
        await sliced({ numRanks: 3, set: MOVING, planning: shuffling(), observer }, async (local) => {
          await batch(local);
          await observer.close();
          const { run, load_LE } = await recordedLoad(file);
          const { expertLoad, rankLoad } = local.engine.stats();
          expect(load_LE).to.deep.equal(expertLoad);
          const halves = run!.rankLoad.even.map((row) => Array.from(row, (load) => 2 * load));
          expect(halves).to.deep.equal(rankLoad.map((row) => [...row]));
        });
      });
    });
  }
});

describe('the number of slices', () => {
  const spec = { hiddenSize: 64, layers: [{ kind: 'moe' }], moe: { intermediateSize: 128, gate: { numExperts: 4 } } };
  type Spec = Parameters<typeof slicedSpec>[1];
  const slicesOf = (slices: 'auto' | number, numRanks: number, intermediateSize = 128): number | undefined =>
    slicedSpec({ slices }, { ...spec, moe: { ...spec.moe, intermediateSize } } as unknown as Spec, numRanks).moe.slices;

  it('is chosen where ranks are more than experts: the fewest that leave none without work', () => {
    expect([1, 4, 5, 8, 9, 12, 16].map((numRanks) => slicesOf('auto', numRanks))).to.deep.equal([
      ...[undefined, undefined, 2, 2, 4, 4, 4],
    ]);
    expect(slicesOf('auto', 1000, 96)).to.equal(48);
  });

  it('is what a placement file divides experts into, and no other one goes with the file', async () => {
    const of = (slices: 'auto' | number, placement: string): Promise<number | undefined> =>
      jobSpec({ slices, placement }, spec as unknown as Spec, 8).then(({ moe }) => moe.slices);
    await withTempFolder(async (dir) => {
      const planned = async (numHeld: number): Promise<string> => {
        const file = join(dir, `${numHeld}.json`);
        await writeFile(file, JSON.stringify({ phy2log: [Array.from({ length: 16 }, (_, slot) => slot % numHeld)] }));
        return file;
      };
      const [whole, halves, others] = [await planned(4), await planned(8), await planned(9)];
      expect(await of('auto', 'linear')).to.equal(2);
      expect(await of('auto', whole)).to.equal(undefined);
      expect(await of('auto', halves)).to.equal(2);
      expect(await of(2, halves)).to.equal(2);
      expect(await of('auto', others), 'which fits no number: reading it says so').to.equal(2);
      const wrong = [
        [2, whole, 'places whole experts; set it to 1 or to auto, or plan with --expert-slices 2'],
        [1, halves, 'places 2 slices of each expert; set it to 2 or to auto, or plan with --expert-slices 1'],
      ] as const;
      for (const [slices, file, text] of wrong) {
        const { message } = await errorOf(ConfigError, () => of(slices, file));
        expect(message).to.equal(`INVALID_VALUE: "experts.slices" is ${slices}, and ${file} ${text}`);
      }
    });
  });

  it('is refused where slices would be empty, with one that is possible', () => {
    expect(() => slicesOf(3, 2)).to.throw(
      /"experts.slices" is 3, and an expert's intermediate size of 128 can't be divided so, in whole groups of 32; set it to 4, or to auto/,
    );
    expect(slicesOf(3, 2, 96)).to.equal(3);
    expect(withSlices(spec as unknown as Spec, 1)).to.equal(spec);
  });
});
