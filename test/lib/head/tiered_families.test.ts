/** Tiers with experts of every kind: codes of any bits, biases, types that are mixed or made when they are read, other numbers of experts in each layer. */
import { expect } from 'chai';
import { expertBytes } from '../../../compute/wasm/experts/kernel_expert.js';
import { dtypesIn } from '../../../compute/base/expert_dtypes.js';
import { expertSizesOf } from '../../../lib/model/spec/spec.js';
import { randomConfig } from '../../../lib/model/random_config.js';
import { makeRandomCheckpoint } from '../../../lib/model/random_checkpoint.js';
import { scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { tinyModel } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const PROMPT = [5, 17, 3, 41, 9, 2, 30, 11];

interface Outcome {
  readonly logits: Float32Array;
  /** A quarter of what the experts take. */
  readonly quarter: number;
}

async function outcomeOf(dir: string, numRanks: number, set: readonly string[]): Promise<Outcome> {
  const local = await startLocalEngine(dir, { numRanks, set });
  try {
    const { logits } = await scoreIds(local.engine, PROMPT);
    const again = await scoreIds(local.engine, PROMPT.toReversed());
    for (const model of local.models) {
      const tiers = model.tierStats();
      if (tiers === null) continue;
      expect(tiers.residentBytes).to.be.within(1, tiers.maxBytes);
      expect(tiers.numReads).to.be.above(0);
    }
    const { resident, expertLoad } = local.engine.stats();
    const { spec } = local.engine;
    const each = dtypesIn(resident.experts).map((dtype) =>
      expertBytes(expertSizesOf(spec), dtype, spec.moe.activation),
    );
    const numExperts = expertLoad.reduce((sum, load_E) => sum + load_E.length, 0);
    const all = (numExperts / numRanks) * Math.max(...each);
    return { logits: new Float32Array([...logits, ...again.logits]), quarter: Math.ceil(all / 4) };
  } finally {
    await local.close();
  }
}

async function expectSameBits(dir: string, set: readonly string[] = []): Promise<void> {
  for (const numRanks of [1, 2]) {
    const whole = await outcomeOf(dir, numRanks, set);
    const tiered = await outcomeOf(dir, numRanks, [...set, `experts.max_resident_bytes=${whole.quarter}`]);
    expect(isSameBits(tiered.logits, whole.logits), `${numRanks} ranks`).to.equal(true);
  }
}

describe('experts on disk, of any kind', function () {
  this.timeout(60_000);

  for (const name of ['tiny-gpt-oss', 'tiny-deepseek-v3-fp8', 'tiny-mixtral', 'tiny-qwen2-moe'])
    it(`${name}: the bits of all resident`, () => expectSameBits(tinyModel(name)));

  for (const resident of ['f32', 'int8', 'int4', 'uint4'])
    it(`kept as ${resident}, which they are made of when they are read: the bits of all resident`, () =>
      expectSameBits(tinyModel('tiny-qwen3-moe'), [`experts.resident=${resident}`]));

  it('other numbers of experts in each layer: the bits of all resident', async () => {
    await withTempFolder(async (dir) => {
      const sizes = { layers: 2, denseLayers: 0, hidden: 64, intermediate: 32, heads: 2, vocab: 256 };
      const config = randomConfig('deepspeed_moe', { ...sizes, experts: [4, 8], topk: 2, dtype: 'BF16' });
      await makeRandomCheckpoint(`${dir}/m`, { config, dtype: 'BF16', codes: null, hasTokenizer: false, seed: 1 });
      await expectSameBits(`${dir}/m`);
    });
  });

  it('a policy of a plug-in decides what goes, and no bit', async () => {
    const plugin = `let turn = 0; export default (api) => api.registerTierPolicy('any', (resident) => (turn = (7 * turn + 3) % 101) % resident.length);`;
    await withPlugins({ 'any.mjs': plugin }, (path) =>
      expectSameBits(tinyModel('tiny-deepseek-v3'), [`plugins=["${path('any.mjs')}"]`, 'experts.tier_policy=any']),
    );
  });
});
