import { expect } from 'chai';
import { GOLDEN_MODELS, goldenOf, prefill } from '../../contracts/golden_contract.js';
import { outputPart, promptPart, startLocalJob, startOf, type LocalJobOptions } from '../../kit/engine/local_job.js';
import { tinyModel } from '../../kit/paths.js';

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

async function greedy(name: string, options: LocalJobOptions): Promise<number[]> {
  const job = await startLocalJob(tinyModel(name), options);
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

  it('on more ranks than experts decode the golden tokens', async () => {
    for (const [name, numRanks] of [
      ['tiny-mixtral', 11],
      ['tiny-gpt-oss', 9],
    ] as const) {
      const { greedy_token_ids: expected } = goldenOf(name);
      for (const slices of [2, 3]) {
        expect(await greedy(name, { numRanks, slices, placement: 'round_robin' })).to.deep.equal(expected);
      }
    }
  });

  it('as int8 are the codes of whole experts', async () => {
    const residence = { experts: 'int8' } as const;
    const whole = await logitsOf('tiny-mixtral', { residence });
    const sliced = await logitsOf('tiny-mixtral', { residence, slices: 2, numRanks: 3 });
    expect(errorOf(sliced, whole)).to.be.below(1e-5);
  });
});
