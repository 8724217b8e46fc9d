/** `experts.defer` on a real engine whose ranks share this process. Shape suffixes: H hidden. */
import { expect } from 'chai';
import { ConfigError } from '../../../lib/config/errors.js';
import { scoreIds, generateIds } from '../../kit/engine/engines.js';
import { startLocalEngine, type LocalEngineOptions } from '../../kit/engine/local_engine.js';
import { frame, PROMPT } from '../../kit/engine/masking.js';
import { replicated } from '../../kit/engine/placements.js';
import { tinyGolden } from '../../kit/model/goldens.js';
import { Seen } from '../../kit/engine/seen.js';
import { tinyModel } from '../../kit/paths.js';
import { withPlugins } from '../../kit/plugin_folder.js';
import { errorOf } from '../../kit/rejects.js';
import { isSameBits } from '../../refs/random.js';

/** Layers 1 and 2 of three have experts. */
const MODEL = 'tiny-deepseek-v3';
const [FIRST, LAST] = [1, 2];
const DEFER = 'experts.defer=1';

interface Outcome {
  readonly seen: Seen;
  readonly logits: Float32Array;
  readonly tokenIds: readonly number[];
  readonly expertLoad: readonly (readonly number[])[];
}

async function outcomeOf(model: string, options: LocalEngineOptions): Promise<Outcome> {
  const seen = new Seen();
  const local = await startLocalEngine(tinyModel(model), { reduce: 'source', ...options, hooks: [seen.hook] });
  try {
    const promptTokenIds = tinyGolden(model).prompt_token_ids;
    const { logits } = await scoreIds(local.engine, promptTokenIds);
    const { tokenIds } = await generateIds(local.engine, { promptTokenIds, maxNewTokens: 6 });
    const expertLoad = local.engine.stats().expertLoad.map((load_E) => [...load_E]);
    return { seen, logits, tokenIds, expertLoad };
  } finally {
    await local.close();
  }
}

/** Logits of prompts, each longer than the one before. */
async function growing(options: LocalEngineOptions): Promise<number[]> {
  const local = await startLocalEngine(tinyModel(MODEL), options);
  try {
    const all: number[] = [];
    for (const length of [2, 3, 5, 9, 14, 20, PROMPT.length]) {
      all.push(...(await scoreIds(local.engine, PROMPT.slice(0, length))).logits);
    }
    return all;
  } finally {
    await local.close();
  }
}

/** In the first MoE layer the choice of least weight is none; weights stay. */
const DROPS = {
  'gate.mjs': `export default (api) => api.registerGate('drop', { route({ numTopk, moeLayer }, own) {
    const { topkIdx, topkWeights } = own();
    for (let from = 0; moeLayer === 0 && from < topkIdx.length; from += numTopk) {
      const weights = [...topkWeights.slice(from, from + numTopk)];
      const at = from + weights.lastIndexOf(Math.min(...weights));
      topkIdx[at] = -1;
      topkWeights[at] = 0;
    }
    return { topkIdx, topkWeights };
  } });`,
};

/** Σ weight · output of a token's choice of least weight. */
function deferredSum({ seen }: Outcome, position: number): number[] {
  const { weights } = seen.at('routing', FIRST, position);
  const { values } = seen.at('expertOutputs', FIRST, position);
  const least = [...weights].lastIndexOf(Math.min(...weights));
  const hidden = values.length / weights.length;
  return Array.from(values.subarray(least * hidden, (least + 1) * hidden), (value) => value * weights[least]!);
}

describe('experts.defer', function () {
  this.timeout(60_000);

  for (const compute of ['kernels', 'tensors']) {
    it(`${compute}: a layer goes on without its least choice, whose result is added behind the next one`, async () => {
      const set = [`compute=${compute}`];
      const deferring = await outcomeOf(MODEL, { numRanks: 1, set: [...set, DEFER] });
      const dropping = await withPlugins(DROPS, (path) =>
        outcomeOf(MODEL, {
          numRanks: 1,
          set: [...set, `plugins=[{path: "${path('gate.mjs')}"}]`, 'experts.gate=drop'],
        }),
      );
      for (const position of PROMPT.keys()) {
        const states = (outcome: Outcome, layer: number): Float32Array =>
          outcome.seen.at('hiddenAfter', layer, position).values;
        expect([...states(deferring, FIRST)]).to.deep.equal([...states(dropping, FIRST)]);
        const late = deferredSum(deferring, position);
        const expected = Array.from(states(dropping, LAST), (value, i) => value + late[i]!);
        const worst = Math.max(...expected.map((value, i) => Math.abs(value - states(deferring, LAST)[i]!)));
        expect(worst).to.be.below(1e-5);
        expect(Math.max(...late.map(Math.abs))).to.be.above(1e-3);
      }
      expect(isSameBits(deferring.logits, dropping.logits)).to.equal(false);
    });
  }

  for (const model of [MODEL, 'tiny-qwen3-moe', 'tiny-olmoe']) {
    it(`${model}: the same bits for any ranks, micro-batches, memories and chunks; loads are those of all choices`, async () => {
      const one = await outcomeOf(model, { numRanks: 1, set: [DEFER] });
      const others: LocalEngineOptions[] = [
        { numRanks: 3, set: [DEFER] },
        { numRanks: 2, microBatches: 2, set: [DEFER] },
        { numRanks: 2, numMemories: 2, set: [DEFER, 'engine.max_num_batched_tokens=5', 'engine.max_num_seqs=1'] },
      ];
      for (const options of others) {
        const other = await outcomeOf(model, options);
        expect(isSameBits(other.logits, one.logits)).to.equal(true);
        expect(other.tokenIds).to.deep.equal(one.tokenIds);
        expect(other.expertLoad).to.deep.equal(one.expertLoad);
      }
    });
  }

  it('is the same model with sums by rank, also where memory grows in between', async () => {
    for (const numRanks of [1, 2]) {
      const exact = await growing({ numRanks, reduce: 'source', set: [DEFER] });
      const summed = await growing({ numRanks, reduce: 'rank', set: [DEFER] });
      const errors = exact.map((value, i) => Math.abs(value - summed[i]!));
      expect(Math.max(...errors)).to.be.below(1e-4);
    }
  });

  it('keeps the slices of an expert together, with the same bits for any ranks', async () => {
    const set = [DEFER, 'experts.slices=2'];
    const [one, three] = [await outcomeOf(MODEL, { numRanks: 1, set }), await outcomeOf(MODEL, { numRanks: 3, set })];
    expect(isSameBits(three.logits, one.logits)).to.equal(true);
    expect(three.expertLoad).to.deep.equal(one.expertLoad);
  });

  it('loses nothing with a rank whose experts have copies elsewhere', async () => {
    const placement = replicated(3);
    const whole = await outcomeOf(MODEL, { numRanks: 3, placement, set: [DEFER] });
    for (const fault of [frame(1, 'dispatch', 0), frame(0, 'combine', 1)]) {
      const lost = await outcomeOf(MODEL, { numRanks: 3, placement, faults: [fault], set: [DEFER] });
      expect(lost.tokenIds).to.deep.equal(whole.tokenIds);
      expect(isSameBits(lost.logits, whole.logits)).to.equal(true);
    }
  });

  it('defers no token’s every choice, and says so', async () => {
    const error = await errorOf(ConfigError, () => outcomeOf(MODEL, { numRanks: 1, set: ['experts.defer=4'] }));
    expect(error.message).to.match(/"experts.defer" is 4, and tokens have \d choices; give at most \d/);
  });
});
