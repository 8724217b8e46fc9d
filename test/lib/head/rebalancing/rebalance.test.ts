/** Experts that move to other ranks while tokens are generated. Everything but sockets, processes and, mostly, the planner is real. */
import { expect } from 'chai';
import { join } from 'node:path';
import { LoadRecorder } from '../../../../experts/load/load_recorder.js';
import { placementFrom, type Placement } from '../../../../experts/placement/placement.js';
import { recordedLoad } from '../../../../experts/routing/recorded_routing.js';
import { RECORD_MODES } from '../../../../experts/load/recording.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { openModel } from '../../../../lib/head/opened_model.js';
import type { GenerationRequest, TokenEvent } from '../../../../lib/protocol/request.js';
import { everyExpert } from '../../../../lib/model/weights/expert_digests.js';
import { moeLayersOf, type ModelSpec } from '../../../../lib/model/spec/spec.js';
import { residentBytes } from '../../../../compute/wasm/memory/resident_dtype.js';
import { cacheBlockBytes } from '../../../../lib/model/spec/cache_layout.js';
import type { Transformer } from '../../../../lib/model/transformer.js';
import { CheckpointExperts } from '../../../../lib/model/weights/weight_reader.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { scoreIds } from '../../../kit/engine/engines.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { heldMemory } from '../../../kit/kernels/held_memory.js';
import {
  startLocalEngine,
  type Fault,
  type LocalEngine,
  type LocalEngineOptions,
} from '../../../kit/engine/local_engine.js';
import { tinyModel } from '../../../kit/paths.js';
import { replicated } from '../../../kit/engine/placements.js';
import { shuffling } from '../../../kit/engine/plannings.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { isSameBits } from '../../../refs/random.js';

const MODEL = tinyModel('tiny-deepseek-v3');
const GOLDEN = tinyGolden('tiny-deepseek-v3');
const PROMPT = GOLDEN.prompt_token_ids;
const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(3, 20), PROMPT.slice(5, 9)];
const NUM_NEW = 24;

/** What a matrix takes besides its values. */
const DESCRIPTOR_BYTES = 64;

/** A plan after every second step, whatever it gains. */
const ALWAYS = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0'];
const keys = (...more: string[]): string[] => [...ALWAYS, ...more].map((key) => `load_balance.${key}`);

async function withEngine<T>(options: LocalEngineOptions, use: (local: LocalEngine) => Promise<T>): Promise<T> {
  const local = await startLocalEngine(MODEL, options);
  try {
    return await use(local);
  } finally {
    await local.close();
  }
}

interface Story {
  readonly tokenIds: readonly number[];
  readonly numDegradedTokens: number;
}

async function generate({ engine }: LocalEngine, request: Partial<GenerationRequest> = {}): Promise<Story> {
  const tokenIds: number[] = [];
  const defaults = { promptTokenIds: PROMPT, maxNewTokens: NUM_NEW, ignoreEos: true };
  const events: AsyncIterable<TokenEvent> = engine.generate({ ...defaults, ...request });
  for await (const event of events) {
    if (event.kind === 'token') tokenIds.push(event.tokenId);
    if (event.kind === 'finished') return { tokenIds, numDegradedTokens: event.numDegradedTokens };
  }
  throw new Error('no finished event');
}

const batch = (local: LocalEngine): Promise<Story[]> =>
  Promise.all(
    PROMPTS.map((promptTokenIds, i) =>
      generate(local, { promptTokenIds, ...(i % 2 === 1 && { sampling: { temperature: 1.5, seed: 11, choice: i } }) }),
    ),
  );

/** Every slot of every rank that is left holds its logical expert's weights, to the bit, and nothing else is held. */
async function expectRightWeights({ engine, models }: LocalEngine, lost: readonly number[] = []): Promise<void> {
  const { placement, spec } = engine;
  const { hiddenSize: hidden, moe } = spec;
  const weights = await openWeights(MODEL, spec);
  const source = new CheckpointExperts(weights, { hidden, intermediate: moe.intermediateSize });
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const [physical, logical] of placement.phy2log[moeLayer]!.entries()) {
      const rank = Math.floor(physical / placement.slotsPerRank);
      if (logical < 0 || lost.includes(rank)) continue;
      const { gate, up, down } = await source.expert(layer, logical);
      const slot = physical % placement.slotsPerRank;
      const held = await models[rank]!.shard.rows(layer, slot, 0, 2 * moe.intermediateSize + hidden);
      const expected = Buffer.concat([gate.bytes, up.bytes, down.bytes]);
      expect(Buffer.concat(held).equals(expected), `${layer} ${rank} ${slot}`).to.equal(true);
    }
  }
  await weights.close();
  for (const [rank, model] of models.entries()) {
    if (lost.includes(rank)) continue;
    const own = placement.phy2log.map((table) =>
      table.subarray(rank * placement.slotsPerRank, (rank + 1) * placement.slotsPerRank),
    );
    const numHeld = own.reduce((sum, slots) => sum + slots.filter((logical) => logical >= 0).length, 0);
    expect(model.shard.stats().numExperts).to.equal(numHeld);
  }
}

const numDone = ({ rebalances }: LocalEngine): number => rebalances.filter(({ kind }) => kind === 'done').length;
const failures = ({ rebalances }: LocalEngine): EngineError[] =>
  rebalances.flatMap((event) => (event.kind === 'failed' ? [event.error] : []));

describe('live rebalancing', function () {
  this.timeout(120_000);
  let undisturbed: Story[];
  let logits: Float32Array;

  before(async () => {
    await withEngine({ numRanks: 2 }, async (local) => {
      undisturbed = await batch(local);
      ({ logits } = await scoreIds(local.engine, PROMPT));
      expect(local.engine.stats().rebalancing).to.equal(null);
    });
    const most = Math.min(NUM_NEW, GOLDEN.greedy_token_ids.length);
    expect(undisturbed[0]!.tokenIds.slice(0, most)).to.deep.equal(GOLDEN.greedy_token_ids.slice(0, most));
  });

  const settings = [
    { numRanks: 2, how: 'two rows at a time', set: keys('bytes_per_step=192') },
    { numRanks: 2, how: 'all layers together', set: keys('layer_updates_per_step=2') },
    { numRanks: 3, how: 'half an expert per step', set: keys('bytes_per_step=4608') },
    { numRanks: 4, how: 'several experts per step', set: keys('bytes_per_step=20000') },
    { numRanks: 4, how: 'two micro-batches', set: keys(), microBatches: 2 },
    { numRanks: 3, how: 'redundant replicas', set: keys(), placement: replicated(2) },
    { numRanks: 2, how: 'dense weights and experts in several memories', set: keys(), numMemories: 2 },
  ];
  for (const { how, ...options } of settings) {
    it(`changes no token and no bit of the logits: ${options.numRanks} ranks, ${how}`, async () => {
      await withEngine({ ...options, planning: shuffling() }, async (local) => {
        const before = local.engine.placement;
        do expect(await batch(local)).to.deep.equal(undisturbed);
        while (numDone(local) < 1);
        const scored = await scoreIds(local.engine, PROMPT);
        expect(isSameBits(scored.logits, logits)).to.equal(true);
        expect(failures(local)).to.deep.equal([]);
        expect(local.engine.placement.version).to.be.above(before.version);
        expect(local.engine.placement.phy2log).not.to.deep.equal(before.phy2log);
        await expectRightWeights(local);
      });
    });
  }

  for (const mode of RECORD_MODES) {
    it(`a recording (${mode}) says which placements ran, so that each rank's load is found again`, async () => {
      await withTempFolder(async (dir) => {
        const file = join(dir, 'r');
        const shape = { numLayers: 2, numExperts: 16, numTopk: 4, slots: { numRanks: 3, numSlots: 18 } };
        const header = { mode, model: 'm', createdBy: 'test', ...shape };
        const observer = await LoadRecorder.create(file, header, { windowSize: 5 });
        await withEngine({ numRanks: 3, set: keys(), planning: shuffling(), observer }, async (local) => {
          await batch(local);
          expect(numDone(local)).to.be.above(1);
          await observer.close();
          const { run } = await recordedLoad(file);
          expect(run!.numPlacements).to.be.above(2);
          expect(run!.placement.version).to.be.at.most(local.engine.placement.version);
          // Every expert has one replica, so that its tokens went where the placement of their step says.
          expect(run!.rankLoad.even).to.deep.equal(local.engine.stats().rankLoad);
        });
      });
    });
  }

  it('with reduce rank changes no greedy token', async () => {
    await withEngine({ numRanks: 3, reduce: 'rank', set: keys(), planning: shuffling(5) }, async (local) => {
      const { tokenIds } = await generate(local, {});
      expect(tokenIds).to.deep.equal(undisturbed[0]!.tokenIds);
      expect(numDone(local)).to.be.above(1);
    });
  });

  it('leaves no tensor and no byte behind after 200 rebalances, and counts what it moved', async () => {
    const models: Transformer[] = [];
    const outside = heldMemory([]);
    await withEngine({ numRanks: 2, set: keys('step_interval=1'), planning: shuffling(3) }, async (local) => {
      models.push(...local.models);
      const loaded = heldMemory(models);
      while (numDone(local) < 200) {
        const numSteps = 16 * Math.max(1, Math.min(8, 200 - numDone(local)));
        await generate(local, { maxNewTokens: Math.min(numSteps, 64) });
      }
      expect(local.engine.resetPrefixCache()).to.equal(true);
      // What is under way is done: nobody plans any more, and steps go on.
      const { numSkipped, numFailed, numRebalances, movedBytes, numMovedExperts } = local.engine.stats().rebalancing!;
      expect([numSkipped, numFailed]).to.deep.equal([0, 0]);
      expect(numRebalances).to.equal(numDone(local));
      const expertBytes = 2 * 3 * 48 * 32; // bf16, as in the checkpoint
      const done = local.rebalances.flatMap((event) => (event.kind === 'done' ? [event] : []));
      for (const each of done) expect(each.movedBytes).to.equal(each.numMovedExperts * expertBytes);
      expect(numMovedExperts).to.equal(done.reduce((sum, each) => sum + each.numMovedExperts, 0));
      expect(movedBytes).to.be.at.least(numMovedExperts * expertBytes);
      for (const executor of local.executors) executor.move({ kind: 'drop', version: 0 }); // what an unfinished one gathered
      await expectRightWeights(local);
      expect(heldMemory(models)).to.deep.equal(loaded);
    });
    expect(heldMemory(models)).to.deep.equal(outside);
  });

  it('never holds more than both placements of the layers in flight', async () => {
    await withEngine({ numRanks: 3, set: keys('step_interval=1'), planning: shuffling(9) }, async (local) => {
      const loaded = heldMemory(local.models).numBytes;
      let most = 0;
      const unhook = local.models.map((model) => {
        const { shard } = model;
        const replace = shard.replace.bind(shard);
        shard.replace = (layer, next) => {
          most = Math.max(most, heldMemory(local.models).numBytes - loaded);
          replace(layer, next);
        };
        return () => (shard.replace = replace);
      });
      await generate(local, { maxNewTokens: 40 });
      unhook.forEach((back) => back());
      // 16 experts of one layer, whatever the number of ranks; and the cache of one sequence: the step itself is over.
      const { attention, layers } = local.engine.spec;
      const expert = residentBytes('bf16', 2 * 32, 48) + residentBytes('bf16', 48, 32) + 3 * DESCRIPTOR_BYTES;
      const cache = 5 * cacheBlockBytes(attention, 'f32', 16) * layers.length;
      expect(most)
        .to.be.above(expert)
        .and.at.most(16 * expert + cache);
    });
  });

  it('is dropped when the engine is closed in the middle of it', async () => {
    const models: Transformer[] = [];
    const outside = heldMemory([]);
    await withEngine({ numRanks: 3, set: keys('bytes_per_step=192'), planning: shuffling() }, async (local) => {
      models.push(...local.models);
      const loaded = heldMemory(models).numBytes;
      let numEvents = 0;
      const error = await errorOf(EngineError, async () => {
        for await (const { kind } of local.engine.generate({
          promptTokenIds: PROMPT,
          maxNewTokens: 64,
          ignoreEos: true,
        })) {
          if (kind === 'token' && ++numEvents === 10) void local.engine.close();
        }
      });
      expect(error.code).to.equal('CLOSED');
      expect(numDone(local)).to.equal(0);
      expect(local.engine.stats().rebalancing!.movedBytes).to.be.above(0);
      expect(heldMemory(models).numBytes).to.be.above(loaded);
    });
    expect(heldMemory(models)).to.deep.equal(outside);
  });

  it('a request that is given up as experts have moved is forgotten behind the step that has it, and the others go on', async () => {
    await withEngine({ numRanks: 2, set: keys('bytes_per_step=65536'), planning: shuffling() }, async (local) => {
      const caller = new AbortController();
      local.engine.watch({ rebalance: () => caller.abort() });
      const given = errorOf(EngineError, async () => {
        const request = { promptTokenIds: PROMPT, maxNewTokens: 30, ignoreEos: true };
        for await (const { kind } of local.engine.generate(request, caller.signal)) expect(kind).to.equal('token');
      });
      const [story] = await batch(local);
      expect(story).to.deep.equal(undisturbed[0]);
      expect((await given).code).to.equal('CLOSED');
    });
  });

  it('that was asked for fails with the job, and is refused with the same words later', async () => {
    const options = {
      numRanks: 2,
      onPeerLoss: 'fail',
      set: [...keys('step_interval=100000', 'bytes_per_step=192')],
    } as const;
    await withEngine({ ...options, planning: shuffling() }, async (local) => {
      const { engine } = local;
      const request = { promptTokenIds: PROMPT, maxNewTokens: 64, ignoreEos: true };
      let asked: Promise<EngineError> | null = null;
      let numTokens = 0;
      await errorOf(EngineError, async () => {
        for await (const { kind } of engine.generate(request)) {
          if (kind !== 'token' || ++numTokens !== 4) continue;
          asked = errorOf(EngineError, () => engine.rebalance());
          local.fail(1);
        }
      });
      expect((await asked!).code).to.equal('RANK_LOST');
      expect((await errorOf(EngineError, () => engine.rebalance())).code).to.equal('RANK_LOST');
    });
  });

  describe('that fails', () => {
    /** The first plan is made after step 2, while step 3 is under way: the first rows travel beside step 4. */
    const atFirstRow = (how: NonNullable<Fault['how']>, rank = 1): Fault => ({
      ...{ rank, how },
      at: { kind: 'frame', step: 4, layer: 1, phase: 'weights', numSent: 0 },
    });

    it('keeps the placement, says why, and the job goes on and tries again', async () => {
      const options = { numRanks: 3, planning: shuffling(), faults: [atFirstRow('refused')] };
      await withEngine({ ...options, set: keys('cool_down=5') }, async (local) => {
        expect(await batch(local)).to.deep.equal(undisturbed);
        const [error, ...more] = failures(local);
        expect(more).to.deep.equal([]);
        expect(error!.message).to.match(
          /^REBALANCE_FAILED: experts were not moved \(rank [012]: .*\); the placement stays as it is/,
        );
        const { numFailed, lastError, numRebalances } = local.engine.stats().rebalancing!;
        expect([numFailed, lastError]).to.deep.equal([1, error!.message]);
        expect(numRebalances).to.be.above(0);
        await expectRightWeights(local);
      });
    });

    it('because a rank is killed: the job ends and names it, with on_peer_loss fail', async () => {
      const options = {
        numRanks: 3,
        onPeerLoss: 'fail',
        planning: shuffling(),
        faults: [atFirstRow('killed')],
      } as const;
      await withEngine({ ...options, set: keys() }, async (local) => {
        const error = await errorOf(EngineError, () => generate(local));
        expect([error.code, error.rank]).to.deep.equal(['RANK_LOST', 1]);
      });
    });

    for (const how of ['killed', 'stopped'] as const) {
      it(`because a rank is ${how}: masked, no mixed placement, and experts move among those that are left`, async () => {
        const options = { numRanks: 3, placement: replicated(2), faults: [atFirstRow(how)], timeoutMs: 1000 };
        await withEngine({ ...options, set: keys(), planning: shuffling() }, async (local) => {
          expect(await batch(local)).to.deep.equal(undisturbed);
          expect(local.losses.map(({ lost }) => lost.map(({ rank }) => rank))).to.deep.equal([[1]]);
          expect(numDone(local)).to.be.above(0);
          expect(failures(local)).to.deep.equal([]);
          for (const table of local.engine.placement.phy2log) {
            const { slotsPerRank } = local.engine.placement;
            expect([...table.subarray(slotsPerRank, 2 * slotsPerRank)]).to.deep.equal(
              new Array<number>(slotsPerRank).fill(-1),
            );
          }
          await expectRightWeights(local, [1]);
        });
      });
    }

    it('because the ranks that are left have too few slots: said once, and the job goes on', async () => {
      const options = { numRanks: 4, faults: [atFirstRow('killed')], set: keys(), planning: shuffling() };
      await withEngine(options, async (local) => {
        const { tokenIds } = await generate(local, {});
        expect(tokenIds).to.have.length(NUM_NEW);
        expect(failures(local).map(({ message }) => message)).to.have.length(1);
        expect(failures(local)[0]!.message).to.include('12 slots on the 3 ranks that are left, 16 experts');
      });
    });
  });

  const roomy = (spec: ModelSpec): Placement => {
    const table = new Int32Array(24).fill(-1);
    for (let e = 0; e < 16; e++) table[(e % 3) * 8 + Math.floor(e / 3)] = e;
    return placementFrom(
      0,
      3,
      16,
      moeLayersOf(spec).map(() => table),
    );
  };

  it('reads from disk only what the head knows the expert to be', async () => {
    const { spec } = await openModel(await loadConfig({ base: { model: MODEL } }));
    const weights = await openWeights(MODEL, spec);
    const digests = new Map<string, string>();
    const onDigest = (key: string, digest: string): void => void digests.set(key, digest);
    const { hiddenSize, moe } = spec;
    const experts = new CheckpointExperts(
      weights,
      { hidden: hiddenSize, intermediate: moe.intermediateSize },
      { onDigest },
    );
    for (const { layer, expert } of everyExpert(spec)) await experts.expert(layer, expert);
    await weights.close();
    const layer = moeLayersOf(spec)[0]!;
    const faults: Fault[] = [{ rank: 1, at: { kind: 'after_step', step: 3 } }];
    const job = { numRanks: 3, placement: roomy, faults, set: keys('step_interval=100000', 'min_gain=1') };
    for (const [expertDigests, isRight] of [
      [digests, true],
      [new Map(digests).set(`${layer}.4`, '0'.repeat(64)), false], // one that rank 1 held
    ] as const) {
      await withEngine({ ...job, expertDigests, planning: shuffling() }, async (local) => {
        await generate(local, {});
        if (isRight) expect(numDone(local)).to.equal(1);
        else expect(failures(local)[0]?.message).to.match(/WEIGHTS_DIFFER.*experts\.4 are not those of the head's/);
      });
    }
  });

  it('brings back from disk what was lost with a rank, where the others have room', async () => {
    const faults: Fault[] = [{ rank: 1, at: { kind: 'after_step', step: 3 } }];
    const set = keys('step_interval=100000', 'min_gain=1');
    await withEngine({ numRanks: 3, placement: roomy, faults, set, planning: shuffling() }, async (local) => {
      const first = await generate(local, {});
      expect(first.numDegradedTokens).to.be.above(0);
      expect(numDone(local)).to.equal(1);
      const second = await generate(local, {});
      expect(second).to.deep.equal({ tokenIds: undisturbed[0]!.tokenIds, numDegradedTokens: 0 });
      await expectRightWeights(local, [1]);
    });
  });

  it('with the real planner, in its thread, levels a job whose load is uneven', async () => {
    const set = keys('step_interval=4', 'window_size=8', 'bytes_per_step=32768');
    await withEngine({ numRanks: 3, set }, async (local) => {
      do expect(await batch(local)).to.deep.equal(undisturbed);
      while (numDone(local) === 0);
      expect(failures(local)).to.deep.equal([]);
      for (const event of local.rebalances) {
        if (event.kind === 'done') expect(event.predicted.after).to.be.at.least(event.predicted.before);
      }
      await expectRightWeights(local);
    });
  });
});
