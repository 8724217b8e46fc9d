/** Experts that have biases move with them: the quickest way to see a bias that stayed behind is a token that changes. */
import { expect } from 'chai';
import { expertSizesOf, moeLayersOf } from '../../../../lib/model/spec/spec.js';
import { CheckpointExperts } from '../../../../lib/model/weights/weight_reader.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { numRowsOf } from '../../../../compute/base/weight_rows.js';
import { scoreIds } from '../../../kit/engine/engines.js';
import { startLocalEngine, type LocalEngine } from '../../../kit/engine/local_engine.js';
import { shuffling } from '../../../kit/engine/plannings.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { tinyModel } from '../../../kit/paths.js';
import { isSameBits } from '../../../refs/random.js';

const MODEL = tinyModel('tiny-gpt-oss');
const { prompt_token_ids: PROMPT, greedy_token_ids: GREEDY } = tinyGolden('tiny-gpt-oss');
/** A plan after every second step, whatever it gains, and some rows of it in each. */
const SET = ['enabled=true', 'step_interval=2', 'window_size=2', 'min_gain=0', 'cool_down=0', 'bytes_per_step=5000'];

async function greedyTokens({ engine }: LocalEngine): Promise<number[]> {
  const tokenIds: number[] = [];
  const request = { promptTokenIds: PROMPT, maxNewTokens: GREEDY.length, ignoreEos: true };
  for await (const event of engine.generate(request)) if (event.kind === 'token') tokenIds.push(event.tokenId);
  return tokenIds;
}

/** What every slot holds is what the checkpoint has for its expert, biases too. */
async function expectRightWeights({ engine, models }: LocalEngine): Promise<void> {
  const { placement, spec } = engine;
  const sizes = expertSizesOf(spec);
  const weights = await openWeights(MODEL, spec);
  const source = new CheckpointExperts(weights, sizes);
  for (const [moeLayer, layer] of moeLayersOf(spec).entries()) {
    for (const [physical, logical] of placement.phy2log[moeLayer]!.entries()) {
      if (logical < 0) continue;
      const { biases } = await source.expert(layer, logical);
      const slot = physical % placement.slotsPerRank;
      const { shard } = models[Math.floor(physical / placement.slotsPerRank)]!;
      const held = Buffer.concat(await shard.rows(layer, slot, numRowsOf(sizes) / 2, numRowsOf(sizes)));
      expect(held.equals(Buffer.from(biases!.buffer)), `${layer} ${physical}`).to.equal(true);
    }
  }
  await weights.close();
}

describe('live rebalancing of experts with biases', function () {
  this.timeout(60_000);

  for (const compute of ['kernels', 'tensors'] as const) {
    it(`changes no token and no bit of the logits (${compute})`, async () => {
      const alone = await startLocalEngine(MODEL, { numRanks: 1, set: [`compute=${compute}`] });
      const { logits } = await scoreIds(alone.engine, PROMPT);
      await alone.close();
      const set = [`compute=${compute}`, ...SET.map((key) => `load_balance.${key}`)];
      const local = await startLocalEngine(MODEL, { numRanks: 3, planning: shuffling(), set });
      do expect(await greedyTokens(local)).to.deep.equal(GREEDY);
      while (!local.rebalances.some(({ kind }) => kind === 'done'));
      expect(isSameBits((await scoreIds(local.engine, PROMPT)).logits, logits)).to.equal(true);
      expect(local.rebalances.filter(({ kind }) => kind === 'failed')).to.deep.equal([]);
      await expectRightWeights(local);
      await local.close();
    });
  }
});
