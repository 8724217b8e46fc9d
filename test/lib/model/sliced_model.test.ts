import { expect } from 'chai';
import { join } from 'node:path';
import { GOLDEN_MODELS, goldenOf, prefill } from '../../contracts/golden_contract.js';
import { outputPart, promptPart, startLocalJob, startOf, type LocalJobOptions } from '../../kit/engine/local_job.js';
import { changeJson, copyModel, keepExperts } from '../../kit/model/model_copy.js';
import { tinyModel } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const QWEN = 'tiny-qwen3-moe';

const isSameBits = (a: Float32Array, b: Float32Array): boolean => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

const errorOf = (logits: Float32Array, expected: ArrayLike<number>): number =>
  logits.reduce((worst, value, i) => Math.max(worst, Math.abs(value - expected[i]!)), 0);

/** Logits of the golden prompt, in two chunks. */
async function logitsOf(name: string, options: LocalJobOptions): Promise<Float32Array> {
  const job = await startLocalJob(tinyModel(name), { reduce: 'source', ...options });
  try {
    const { prompt_token_ids: prompt } = goldenOf(name);
    return await prefill(job, prompt, [prompt.length - 7, 7]);
  } finally {
    await job.close();
  }
}

/** Of a tiny model's golden prompt, or of the same model with other weights. */
async function greedy(name: string, options: LocalJobOptions, dir = tinyModel(name)): Promise<number[]> {
  const job = await startLocalJob(dir, options);
  try {
    const { prompt_token_ids: prompt, greedy_token_ids: expected } = goldenOf(name);
    const [outputs] = await job.step([[promptPart(0, prompt)]], [[startOf(0)]]);
    const tokens = [outputs![0]!.tokenId!];
    while (tokens.length < expected.length) {
      const [next] = await job.step([[outputPart(0, tokens.at(-1)!, prompt.length + tokens.length - 1)]]);
      tokens.push(next![0]!.tokenId!);
    }
    return tokens;
  } finally {
    await job.close();
  }
}

describe('sliced experts', function () {
  this.timeout(60_000);

  for (const compute of ['kernels', 'tensors'] as const) {
    for (const name of GOLDEN_MODELS) {
      it(`of ${name} give its logits, and the same bits on any ranks in any placement (${compute})`, async () => {
        const own = { residence: { compute }, slices: 2 };
        const one = await logitsOf(name, own);
        expect(errorOf(one, goldenOf(name).logits.flat())).to.be.below(1e-4);
        for (const [numRanks, placement] of [
          [3, 'linear'],
          [5, 'round_robin'],
        ] as const) {
          const other = await logitsOf(name, { ...own, numRanks, placement, microBatches: 2 });
          expect(isSameBits(other, one), `${numRanks} ranks`).to.equal(true);
        }
      });
    }
  }

  for (const [numRanks, numExperts] of [
    [3, 2],
    [8, 4],
  ] as const) {
    it(`on ${numRanks} ranks with ${numExperts} experts decode the tokens of whole experts on one`, async () => {
      await withTempFolder(async (dir) => {
        await copyModel(tinyModel(QWEN), dir);
        await keepExperts(dir, numExperts);
        await changeJson(join(dir, 'config.json'), { num_experts_per_tok: 2 });
        const expected = await greedy(QWEN, {}, dir);
        for (const compute of ['kernels', 'tensors'] as const) {
          const own = { numRanks, slices: 2, residence: { compute } };
          expect(await greedy(QWEN, own, dir), compute).to.deep.equal(expected);
        }
      });
    });
  }

  it('of which the last is smaller, or all are of an odd size, decode the golden tokens', async () => {
    for (const [name, slices] of [
      ['tiny-mixtral', 3],
      ['tiny-gpt-oss', 3],
      ['tiny-qwen2-moe', 5],
    ] as const) {
      const tokens = await greedy(name, { numRanks: 3, slices, placement: 'round_robin' });
      expect(tokens, name).to.deep.equal(goldenOf(name).greedy_token_ids);
    }
  });

  it('have the same bits on one to eight ranks', async () => {
    const bits = new Set<string>();
    for (const numRanks of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const logits = await logitsOf('tiny-mixtral', { numRanks, slices: 3 });
      bits.add(Buffer.from(logits.buffer).toString('base64'));
    }
    expect(bits.size).to.equal(1);
  });

  it('as int8 are the codes of whole experts', async () => {
    const residence = { experts: 'int8' } as const;
    const whole = await logitsOf('tiny-mixtral', { residence });
    const sliced = await logitsOf('tiny-mixtral', { residence, slices: 2, numRanks: 3 });
    expect(errorOf(sliced, whole)).to.be.below(1e-5);
  });
});
