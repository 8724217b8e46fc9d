/** How many KV blocks a rank has where nobody says a number, and states of layers without keys and values. */
import { expect } from 'chai';
import { loadConfig } from '../../../lib/config/load.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import type { GqaSpec } from '../../../lib/model/spec/spec.js';
import { randomConfig } from '../../../lib/model/random_config.js';
import { limitsOf, numStatesOf, type EngineLimits } from '../../../lib/protocol/limits.js';
import { tinyModel } from '../../kit/paths.js';

const SHAPE = { layers: 4, denseLayers: 0, hidden: 64, experts: 4, topk: 2, intermediate: 8, heads: 4, vocab: 32 };

async function limitsWith(
  set: readonly string[],
  family: 'qwen3_next' | 'qwen3_moe',
  hidden = 64,
): Promise<EngineLimits> {
  const config = await loadConfig({ base: { model: tinyModel('tiny-qwen3-moe') }, overrides: [...set] });
  return limitsOf(config, modelSpecOf(randomConfig(family, { ...SHAPE, hidden, dtype: 'BF16' })));
}

describe('the KV blocks of a rank', () => {
  it('are as many as fit half a gibibyte of what they take, by themselves', async () => {
    const numBlocks = async (dtype: string): Promise<number> =>
      (await limitsWith(['engine.max_num_seqs=512', `engine.kv_dtype=${dtype}`], 'qwen3_moe', 8192)).numKvBlocks;
    const { attention } = modelSpecOf(randomConfig('qwen3_moe', { ...SHAPE, hidden: 8192, dtype: 'BF16' }));
    const { numKvHeads, headDim } = attention as GqaSpec;
    const perBlock = 4 * 16 * 2 * numKvHeads; // rows of four layers
    expect(await numBlocks('bf16')).to.equal(Math.floor(2 ** 29 / (perBlock * 2 * headDim)));
    expect(await numBlocks('int8')).to.equal(Math.floor(2 ** 29 / (perBlock * (4 + headDim))));
    expect((await numBlocks('int8')) / (await numBlocks('f32'))).to.be.within(3.9, 4.1);
  });
});

describe('the states of a rank', () => {
  it('are one for each sequence, and two that blocks keep, unless the configuration says another number', async () => {
    const seats = ['engine.max_num_seqs=8'];
    const auto = await limitsWith(seats, 'qwen3_next');
    expect([auto.states, numStatesOf(auto)]).to.deep.equal([{ maxKept: 16, interval: 512 }, 24]);
    const own = await limitsWith([...seats, 'engine.kept_states=3', 'engine.state_interval=40'], 'qwen3_next');
    expect([own.states, numStatesOf(own)], 'whole blocks').to.deep.equal([{ maxKept: 3, interval: 48 }, 11]);
    const off = await limitsWith([...seats, 'engine.prefix_cache=off'], 'qwen3_next');
    expect(numStatesOf(off)).to.equal(8);
  });

  it('are none where all layers have keys and values', async () => {
    expect(numStatesOf(await limitsWith([], 'qwen3_moe'))).to.equal(0);
  });

  it('are kept in a gibibyte at most by themselves', async () => {
    const { states } = await limitsWith([], 'qwen3_next', 8192);
    // Three layers of 8 value heads with 2048 × 2048 values, and the convolutions' inputs.
    const bytes = 4 * 3 * (8 * 2048 * 2048 + 3 * (4 + 4 + 8) * 2048);
    expect(states!.maxKept).to.equal(Math.floor(2 ** 30 / bytes));
  });
});
