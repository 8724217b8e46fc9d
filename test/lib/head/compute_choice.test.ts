import { expect } from 'chai';
import { ConfigError } from '../../../lib/config/errors.js';
import { loadConfig } from '../../../lib/config/load.js';
import { withComputeFor } from '../../../lib/head/compute_choice.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { randomConfig, type RandomFamily } from '../../../lib/model/random_config.js';
import { tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const SHAPE = { layers: 2, denseLayers: 0, hidden: 16, experts: 4, topk: 2, intermediate: 8, heads: 2, vocab: 32 };

describe('what computes a model', () => {
  const computeOf = async (family: RandomFamily, ...overrides: string[]): Promise<string> => {
    const config = await loadConfig({ base: { model: tinyModel('tiny-qwen3-moe') }, overrides });
    return withComputeFor(config, modelSpecOf(randomConfig(family, { ...SHAPE, dtype: 'F32' }))).compute;
  };

  it('are kernels where layers have states or an indexer, or keys and values are not f32, and nobody chose, and else what the configuration says', async () => {
    expect(await computeOf('lfm2_moe')).to.equal('kernels');
    expect(await computeOf('qwen3_next', 'backend=wasm')).to.equal('kernels');
    expect(await computeOf('deepseek_v32')).to.equal('kernels');
    expect(await computeOf('qwen3_moe')).to.equal('auto');
    expect(await computeOf('qwen3_moe', 'engine.kv_dtype=bf16')).to.equal('kernels');
  });

  it('what such layers can not run with is refused before a rank starts, by name', async () => {
    for (const [family, what] of [
      ['lfm2_moe', 'short_conv'],
      ['glm_moe_dsa', 'indexer'],
    ] as const) {
      for (const [choice, key] of [
        ['compute=tensors', 'compute'],
        ['backend=cpu', 'backend'],
      ] as const) {
        const refusal = await errorOf(ConfigError, () => computeOf(family, choice));
        expect(refusal.message).to.contain(`"${key}" is`).and.contain(what);
      }
    }
  });
});
