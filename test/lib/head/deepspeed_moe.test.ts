/** Layers with different numbers of experts and a network beside them: on real engines whose ranks share this process. */
import { expect } from 'chai';
import { makeRandomCheckpoint } from '../../../lib/model/random_checkpoint.js';
import { randomConfig } from '../../../lib/model/random_config.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { expertCountsOf, gateOf } from '../../../lib/model/spec/spec.js';
import { ModelError } from '../../../lib/model/spec/errors.js';
import { ConfigError } from '../../../lib/config/errors.js';
import { scoreIds, generateIds } from '../../kit/engine/engines.js';
import { startLocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { Seen } from '../../kit/engine/seen.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const SHAPE = {
  ...{ layers: 4, denseLayers: 0, hidden: 32, experts: [3, 3, 6, 8], topk: 2, intermediate: 32, heads: 2, vocab: 300 },
  ...{ dtype: 'F32' as const, residual: true },
};
const CONFIG = randomConfig('deepspeed_moe', SHAPE);
const IDS = [5, 9, 1, 200, 17, 33, 8, 260, 4, 12, 77];

async function withModel<T>(use: (dir: string) => Promise<T>, config = CONFIG): Promise<T> {
  return withTempFolder(async (dir) => {
    await makeRandomCheckpoint(dir, { config, dtype: 'F32', codes: null, hasTokenizer: false, seed: 3 });
    return use(dir);
  });
}

interface Outcome {
  readonly logits: Float32Array;
  readonly tokenIds: readonly number[];
  readonly expertLoad: readonly (readonly number[])[];
  readonly seen: Seen;
}

async function outcomeOf(dir: string, options: LocalEngineOptions): Promise<Outcome> {
  const seen = new Seen();
  const local = await startLocalEngine(dir, { reduce: 'source', ...options, hooks: [seen.hook] });
  try {
    const { logits } = await scoreIds(local.engine, IDS);
    const { tokenIds } = await generateIds(local.engine, { promptTokenIds: IDS, maxNewTokens: 6 });
    const expertLoad = local.engine.stats().expertLoad.map((load_E) => [...load_E]);
    return { logits, tokenIds, expertLoad, seen };
  } finally {
    await local.close();
  }
}

describe('layers with different numbers of experts', function () {
  this.timeout(60_000);

  it('give the same bits on any ranks, and know their own gate, load and router logits', async () => {
    await withModel(async (dir) => {
      const one = await outcomeOf(dir, { numRanks: 1 });
      expect(one.expertLoad.map((load_E) => load_E.length)).to.deep.equal([3, 3, 6, 8]);
      for (const [layer, count] of [3, 3, 6, 8].entries()) {
        expect(one.seen.at('routerLogits', layer, 4).values).to.have.length(count);
      }
      const others: LocalEngineOptions[] = [
        { numRanks: 3 },
        { numRanks: 2, microBatches: 2, numMemories: 2 },
        { numRanks: 5, set: ['experts.slices=1'] }, // two ranks have no expert of the first layers
      ];
      for (const options of others) {
        const other = await outcomeOf(dir, options);
        expect(isSameBits(other.logits, one.logits)).to.equal(true);
        expect(other.tokenIds).to.deep.equal(one.tokenIds);
        expect(other.expertLoad).to.deep.equal(one.expertLoad);
      }
    });
  });

  it('defer choices with the same bits on any ranks', async () => {
    const set = ['experts.defer=1'];
    await withModel(async (dir) => {
      const one = await outcomeOf(dir, { numRanks: 1, set });
      expect(isSameBits(one.logits, (await outcomeOf(dir, { numRanks: 1 })).logits)).to.equal(false);
      for (const options of [{ numRanks: 3 }, { numRanks: 2, microBatches: 2, numMemories: 2 }]) {
        const other = await outcomeOf(dir, { ...options, set });
        expect(isSameBits(other.logits, one.logits)).to.equal(true);
        expect(other.tokenIds).to.deep.equal(one.tokenIds);
      }
    });
  });

  it('are counted each, and move to where a planner wants them without changing a bit', async () => {
    const set = ['load_balance.enabled=true', 'load_balance.window_size=8', 'experts.num_redundant_experts=1'];
    await withModel(async (dir) => {
      const one = await outcomeOf(dir, { numRanks: 1 });
      const numChoices = (IDS.length + IDS.length + 5) * SHAPE.topk; // scored, and generated from
      for (const load_E of one.expertLoad) expect(load_E.reduce((a, b) => a + b, 0)).to.equal(numChoices);
      const local = await startLocalEngine(dir, { reduce: 'source', numRanks: 3, set });
      try {
        const { engine } = local;
        await scoreIds(engine, IDS);
        const state = { isOver: false };
        const asked = engine.rebalance().finally(() => (state.isOver = true));
        while (!state.isOver) {
          const { tokenIds } = await generateIds(engine, { promptTokenIds: IDS, maxNewTokens: 6 });
          expect(tokenIds).to.deep.equal(one.tokenIds);
        }
        expect((await asked).kind).to.equal('done');
        expect(isSameBits((await scoreIds(engine, IDS)).logits, one.logits)).to.equal(true);
      } finally {
        await local.close();
      }
    });
  });

  it('are what tensors compute too', async () => {
    await withModel(async (dir) => {
      const kernels = await outcomeOf(dir, { numRanks: 2 });
      const tensors = await outcomeOf(dir, { numRanks: 2, set: ['compute=tensors'] });
      const errors = kernels.logits.map((value, i) => Math.abs(value - tensors.logits[i]!));
      expect(Math.max(...errors)).to.be.below(1e-4);
      expect(tensors.tokenIds).to.deep.equal(kernels.tokenIds);
    });
  });

  it('refuse a plug-in’s gate, which is tried with one number of experts', async () => {
    const files = {
      'gate.mjs': `export default (api) => api.registerGate('own', { route: (batch, own) => own() });`,
    };
    await withModel((dir) =>
      withPlugins(files, async (path) => {
        const set = [`plugins=[{path: "${path('gate.mjs')}"}]`, 'experts.gate=own'];
        const error = await errorOf(ConfigError, () => outcomeOf(dir, { numRanks: 1, set }));
        expect(error.message).to.match(/layers have 3, 3, 6 and 8 experts; such a gate chooses where all have as many/);
      }),
    );
  });
});

describe('a config.json of DeepSpeed’s MoE', () => {
  it('says how many experts the layers have that have some', () => {
    const spec = modelSpecOf({ ...CONFIG, expert_interval: 2, num_experts: [4, 8], mlp_type: 'standard' });
    expect(spec.layers.map(({ kind }) => kind)).to.deep.equal(['dense', 'moe', 'dense', 'moe']);
    expect(expertCountsOf(spec)).to.deep.equal([4, 8]);
    expect(gateOf(spec, 1)).to.include({ numExperts: 4, numTopk: 2, normTopkProb: true });
    expect(spec.moe).to.include({ sharedIntermediateSize: 0 });
    expect(expertCountsOf(modelSpecOf({ ...CONFIG, num_experts: 4 }))).to.deep.equal([4, 4, 4, 4]);
    const plain = modelSpecOf({ ...CONFIG, num_experts: [4, 1, 1, 8] });
    expect(plain.layers.map(({ kind }) => kind)).to.deep.equal(['moe', 'dense', 'dense', 'moe']);
    const top1 = modelSpecOf({ ...CONFIG, num_experts_per_tok: 1 });
    expect(top1.moe.gate).to.include({ normTopkProb: false, scoring: 'softmax' });
  });

  it('is refused where it would compute something else', async () => {
    for (const [fields, words] of [
      [{ num_experts: [4, 8] }, /num_experts has 2 entries, and 4 of the 4 layers have experts \(expert_interval 1\)/],
      [{ num_experts: [4, 4, 2, 8], num_experts_per_tok: 3 }, /num_experts_per_tok 3 must be at most num_experts 2/],
      [{ drop_tokens: true }, /drop_tokens/],
      [{ top2_2nd_expert_sampling: true }, /top2_2nd_expert_sampling/],
      [{ normalization: 'layernorm' }, /normalization/],
      [{ position_embedding_type: 'learned_absolute' }, /position_embedding_type/],
      [{ layernorm_epsilon: 1e-5 }, /layernorm_epsilon/],
      [{ swiglu: false }, /swiglu/],
      [{ mlp_type: 'dense' }, /mlp_type/],
      [{ hidden_act: 'gelu' }, /hidden_act/],
      [{ expert_interval: 8, num_experts: 4 }, /without a single MoE layer/],
    ] as const) {
      const error = await errorOf(ModelError, () => modelSpecOf({ ...CONFIG, ...fields }));
      expect(error.message).to.match(words);
    }
  });
});
