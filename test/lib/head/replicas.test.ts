/** Redundant experts on a real engine: whatever replica serves a token, its numbers are the same. Ranks share this process. */
import { expect } from 'chai';
import type { Placement } from '../../../experts/placement/placement.js';
import { createPlacement } from '../../../experts/placement/placement.js';
import { withRedundancy } from '../../../experts/placement/redundancy.js';
import { REPLICA_CHOICES, type ReplicaChoice } from '../../../experts/placement/replica_choice.js';
import { statsJson } from '../../../lib/commands/generate/stats_json.js';
import { summary } from '../../../lib/commands/generate/summary.js';
import { moeLayersOf, type ModelSpec } from '../../../lib/model/spec/spec.js';
import { generateIds, scoreIds } from '../../kit/engine/engines.js';
import { moe7mCases, tinyGolden } from '../../kit/model/goldens.js';
import {
  startLocalEngine,
  type Fault,
  type LocalEngine,
  type LocalEngineOptions,
} from '../../kit/engine/local_engine.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { isSameBits } from '../../refs/random.js';

const MODEL = 'tiny-deepseek-v3';
const GOLDEN = tinyGolden(MODEL);
const PROMPT = GOLDEN.prompt_token_ids;
const NUM_NEW = 10;
const PROMPTS = [PROMPT, PROMPT.slice(0, 7), PROMPT.slice(3, 20), PROMPT.slice(5, 9), PROMPT.slice(2, 4)];
const TIMING = { elapsedMs: 1000, firstTokenMs: 10 };

/** As many copies as `share` of the experts. */
const redundant =
  (share: number) =>
  (spec: ModelSpec, numRanks: number): Placement => {
    const { numExperts } = spec.moe.gate;
    const base = createPlacement('linear', { numLayers: moeLayersOf(spec).length, numExperts, numRanks });
    return withRedundancy(base, Math.min(Math.round(share * numExperts), numExperts * (numRanks - 1)));
  };

async function withEngine<T>(
  model: string,
  { choice, set = [], ...options }: LocalEngineOptions & { readonly choice?: ReplicaChoice },
  use: (local: LocalEngine) => Promise<T>,
): Promise<T> {
  const chosen = choice === undefined ? [] : [`experts.replica_choice=${choice}`];
  const local = await startLocalEngine(model, { ...options, set: [...chosen, ...set] });
  try {
    return await use(local);
  } finally {
    await local.close();
  }
}

const greedyOf = ({ engine }: LocalEngine): Promise<(readonly number[])[]> =>
  Promise.all(
    PROMPTS.map(
      async (promptTokenIds) => (await generateIds(engine, { promptTokenIds, maxNewTokens: NUM_NEW })).tokenIds,
    ),
  );

const logitsOf = ({ engine }: LocalEngine): Promise<Float32Array[]> =>
  Promise.all(PROMPTS.map(async (ids) => (await scoreIds(engine, ids)).logits));

describe('redundant experts', function () {
  this.timeout(60_000);
  let greedy: (readonly number[])[];
  let logits: Float32Array[];

  before(async () => {
    await withEngine(tinyModel(MODEL), { numRanks: 1 }, async (local) => {
      greedy = await greedyOf(local);
      logits = await logitsOf(local);
    });
    expect(greedy[0]).to.deep.equal(GOLDEN.greedy_token_ids.slice(0, NUM_NEW));
  });

  for (const numRanks of [2, 3, 4]) {
    for (const choice of REPLICA_CHOICES) {
      it(`${numRanks} ranks, ${choice}, reduce source: the same tokens, and logits to the last bit`, async () => {
        for (const share of [0.5, 1.5]) {
          const options = { numRanks, choice, placement: redundant(share), microBatches: share > 1 ? 2 : 1 };
          await withEngine(tinyModel(MODEL), options, async (local) => {
            expect(await greedyOf(local)).to.deep.equal(greedy);
            (await logitsOf(local)).forEach((row, i) =>
              expect(isSameBits(row, logits[i]!), `prompt ${i}`).to.equal(true),
            );
          });
        }
      });

      it(`${numRanks} ranks, ${choice}, reduce rank: the same tokens`, async () => {
        const options = { numRanks, choice, placement: redundant(1), reduce: 'rank' } as const;
        await withEngine(tinyModel(MODEL), options, async (local) => {
          expect(await greedyOf(local)).to.deep.equal(greedy);
        });
      });
    }
  }

  it('load counts every choice once, at its logical expert and at the rank that computed it', async () => {
    const loads: number[][][] = [];
    for (const choice of ['balanced', 'round_robin'] as const) {
      await withEngine(tinyModel(MODEL), { numRanks: 4, choice, placement: redundant(1) }, async (local) => {
        await greedyOf(local);
        const { expertLoad, rankLoad, balancedness } = local.engine.stats();
        const sum = (counts: Float64Array): number => counts.reduce((a, b) => a + b, 0);
        rankLoad.forEach((load_R, moeLayer) => {
          expect(load_R).to.have.length(4);
          expect(sum(load_R)).to.equal(sum(expertLoad[moeLayer]!));
          expect(balancedness[moeLayer]).to.equal(sum(load_R) / 4 / Math.max(...load_R));
        });
        expect(statsJson(local.engine, TIMING)).to.deep.include({ rank_load: rankLoad.map((load_R) => [...load_R]) });
        const text = summary(local.engine, [], TIMING);
        rankLoad[0]!.forEach((count, rank) => expect(text).to.match(new RegExp(`rank ${rank} \\D* ${count}  `)));
        loads.push(expertLoad.map((load_E) => [...load_E]));
      });
    }
    expect(loads[1]).to.deep.equal(loads[0]);
  });

  const lostAt = (step: number, phase: 'dispatch' | 'combine'): Fault => ({
    rank: 1,
    at: { kind: 'frame', step, layer: 1, phase, numSent: 0 },
  });

  for (const choice of REPLICA_CHOICES) {
    it(`a rank lost, ${choice}: with a copy of every expert nothing is degraded, and tokens are the golden ones`, async () => {
      for (const numRanks of [2, 3]) {
        const options = { numRanks, choice, placement: redundant(1), faults: [lostAt(4, 'dispatch')] };
        await withEngine(tinyModel(MODEL), options, async (local) => {
          expect(await greedyOf(local)).to.deep.equal(greedy);
          expect(local.losses.map(({ lost }) => lost.map(({ rank }) => rank))).to.deep.equal([[1]]);
          const { numDegradedTokens, rankLoad } = local.engine.stats();
          expect(numDegradedTokens).to.equal(0);
          expect(rankLoad.map((load_R) => load_R[1])).to.deep.equal(rankLoad.map(() => 0));
        });
      }
    });
  }

  it('a rank lost while counts are gathered: the step runs again without it', async () => {
    const fault: Fault = { rank: 1, at: { kind: 'frame', step: 5, layer: 0, phase: 'all_gather', numSent: 1 } };
    await withEngine(
      tinyModel(MODEL),
      { numRanks: 3, choice: 'allgather', placement: redundant(1), faults: [fault] },
      async (local) => {
        expect(await greedyOf(local)).to.deep.equal(greedy);
        expect(local.losses).to.have.length(1);
        expect(local.engine.stats().numDegradedTokens).to.equal(0);
      },
    );
  });

  it('a rank lost, with copies of some experts: only tokens that chose one without a copy are degraded', async () => {
    const counts: number[] = [];
    for (const share of [0, 0.5, 1]) {
      await withEngine(
        tinyModel(MODEL),
        { numRanks: 3, placement: redundant(share), faults: [lostAt(4, 'combine')] },
        async (local) => {
          const { placement, engine } = local;
          const { slotsPerRank } = placement;
          const { routedExperts } = await generateIds(engine, { promptTokenIds: PROMPT, maxNewTokens: NUM_NEW });
          const isLost = (expert: number, moeLayer: number): boolean =>
            placement.log2phy[moeLayer]![expert]!.every((p) => Math.floor(p / slotsPerRank) === 1);
          const after = routedExperts.slice(PROMPT.length + 2); // the prompt was step 1
          const expected = after.filter((layers) => layers.some((experts, l) => experts.some((e) => isLost(e, l))));
          expect(engine.stats().numDegradedTokens).to.equal(expected.length);
          counts.push(expected.length);
        },
      );
    }
    expect(counts[0]).to.be.above(0);
    expect(counts[2]).to.equal(0);
  });

  it('moe-7m with every expert on two ranks of three writes the golden tokens', async () => {
    const cases = moe7mCases().slice(0, 3);
    await withEngine(moe7m(), { numRanks: 3, placement: redundant(1), reduce: 'rank' }, async ({ engine }) => {
      const outputs = await Promise.all(
        cases.map(({ prompt_token_ids: promptTokenIds }) => generateIds(engine, { promptTokenIds })),
      );
      expect(outputs.map(({ tokenIds }) => tokenIds)).to.deep.equal(cases.map((golden) => golden.greedy_token_ids));
    });
  });
});
