/** `experts.skip_threshold` on a real engine whose ranks share this process. */
import { expect } from 'chai';
import type { HookEvent } from '../../../lib/protocol/hook.js';
import type { EngineStats } from '../../../lib/head/engine.js';
import { generateIds, scoreIds } from '../../kit/engine/engines.js';
import { startLocalEngine } from '../../kit/engine/local_engine.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { tinyModel } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { isSameBits } from '../../refs/random.js';

interface Outcome {
  readonly logits: Float32Array;
  readonly tokenIds: readonly number[];
  readonly stats: EngineStats;
  /** [K] of each token and MoE layer. */
  readonly choices: readonly (readonly number[])[];
}

async function outcomeOf(model: string, numRanks: number, set: readonly string[]): Promise<Outcome> {
  const choices: number[][] = [];
  const onEvent = (event: HookEvent): void => {
    if (event.point === 'routing') choices.push([...event.experts]);
  };
  const local = await startLocalEngine(tinyModel(model), {
    ...{ numRanks, set: ['comm.reduce=source', ...set] },
    hooks: [{ points: { routing: 'all' }, onEvent }],
  });
  try {
    const promptTokenIds = tinyGolden(model).prompt_token_ids;
    const { logits } = await scoreIds(local.engine, promptTokenIds);
    const { tokenIds } = await generateIds(local.engine, { promptTokenIds, maxNewTokens: 6 });
    return { logits, tokenIds, choices, stats: local.engine.stats() };
  } finally {
    await local.close();
  }
}

/** What the threshold does, written once more, for a plug-in. */
const REFERENCE = {
  'gate.mjs': `export default (api, { beta, isNormed }) => api.registerGate('skip', { route({ numTopk }, own) {
    const { topkIdx, topkWeights } = own();
    for (let from = 0; from < topkIdx.length; from += numTopk) {
      const weights = [...topkWeights.slice(from, from + numTopk)];
      const isKept = (weight) => weight >= beta * Math.max(...weights);
      const sum = (list) => list.reduce((a, b) => a + b, 0);
      const scale = isNormed && !weights.every(isKept) ? sum(weights) / sum(weights.filter(isKept)) : 1;
      weights.forEach((weight, k) => {
        if (!isKept(weight)) topkIdx[from + k] = -1;
        topkWeights[from + k] = isKept(weight) ? weight * scale : 0;
      });
    }
    return { topkIdx, topkWeights };
  } });`,
};

describe('experts.skip_threshold', function () {
  this.timeout(60_000);

  for (const compute of ['kernels', 'tensors']) {
    for (const [model, isNormed] of [
      ['tiny-deepseek-v3', true],
      ['tiny-qwen3-moe', true],
      ['tiny-olmoe', false],
    ] as const) {
      it(`${model}, ${compute}: computes what a gate that skips as much does, to the last bit, whatever the ranks`, async () => {
        const beta = 0.9;
        const set = [`compute=${compute}`];
        const wanted = await withPlugins(REFERENCE, (path) =>
          outcomeOf(model, 1, [
            ...set,
            `plugins=[{path: "${path('gate.mjs')}", options: {beta: ${beta}, isNormed: ${isNormed}}}]`,
            'experts.gate=skip',
          ]),
        );
        for (const numRanks of [1, 3]) {
          const skipping = await outcomeOf(model, numRanks, [...set, `experts.skip_threshold=${beta}`]);
          expect(isSameBits(skipping.logits, wanted.logits)).to.equal(true);
          expect(skipping.tokenIds).to.deep.equal(wanted.tokenIds);
          expect(skipping.choices).to.deep.equal(wanted.choices);
        }
      });
    }
  }

  for (const more of [
    ['experts.num_redundant_experts=3', 'experts.replica_choice=allgather'],
    ['experts.slices=2'],
    ['comm.micro_batches=2', 'comm.reduce=rank'],
  ]) {
    it(`skips the same with ${more.join(' ')}`, async () => {
      const set = ['experts.skip_threshold=0.9'];
      const wanted = await outcomeOf('tiny-qwen3-moe', 1, set);
      const other = await outcomeOf('tiny-qwen3-moe', 3, [...set, ...more]);
      expect(other.choices).to.deep.equal(wanted.choices);
      expect(other.tokenIds).to.deep.equal(wanted.tokenIds);
      expect(other.stats.numSkippedChoices).to.equal(wanted.stats.numSkippedChoices);
    });
  }

  it('counts what it skips, and hooks show −1 there; what is skipped is in no load', async () => {
    const { stats, choices } = await outcomeOf('tiny-qwen3-moe', 2, ['experts.skip_threshold=0.9']);
    const skipped = choices.flat().filter((expert) => expert < 0).length;
    expect(skipped).to.be.greaterThan(0);
    expect(stats.numSkippedChoices).to.equal(skipped);
    const load = stats.expertLoad.reduce((sum, load_E) => sum + load_E.reduce((a, b) => a + b), 0);
    expect(load).to.equal(choices.flat().length - skipped);
    expect(stats.numDegradedTokens).to.equal(0);
  });
});
