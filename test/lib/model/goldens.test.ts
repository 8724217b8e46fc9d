import { expect } from 'chai';
import type { ResidenceChoice } from '../../../lib/model/weights/residence.js';
import { describeGolden, GOLDEN_MODELS, goldenOf, prefill } from '../../contracts/golden_contract.js';
import { startLocalJob } from '../../kit/engine/local_job.js';
import { moe7m, tinyModel } from '../../kit/paths.js';

for (const name of GOLDEN_MODELS) {
  for (const compute of ['kernels', 'tensors'] as const) {
    describeGolden(name, { compute, backend: 'wasm', isRowExact: true });
  }
}

describe('resident weights', () => {
  const { prompt_token_ids: prompt } = goldenOf('tiny-deepseek-v3');
  const logitsOf = async (residence: Partial<ResidenceChoice>): Promise<Float32Array> => {
    const job = await startLocalJob(tinyModel('tiny-deepseek-v3'), { residence, numRanks: 2 });
    const values = await prefill(job, prompt, [prompt.length]);
    await job.close();
    return values;
  };

  it('of a bf16 checkpoint give the same bits as bf16 and as f32', async () => {
    const stored = await logitsOf({});
    for (const dtype of ['f32', 'bf16'] as const) {
      const same = await logitsOf({ experts: dtype, dense: dtype });
      expect(Buffer.from(same.buffer).equals(Buffer.from(stored.buffer)), dtype).to.equal(true);
    }
  });

  it('as int8 give nearly the same logits of a trained model, and others', async () => {
    const tokens = Array.from({ length: 24 }, (_, i) => (37 * i) % 2048);
    const trained = async (residence: Partial<ResidenceChoice>): Promise<Float32Array> => {
      const job = await startLocalJob(moe7m(), { residence });
      const values = await prefill(job, tokens, [tokens.length]);
      await job.close();
      return values;
    };
    const stored = await trained({});
    const size = rootMeanSquare(stored);
    for (const choice of [{ experts: 'int8' }, { dense: 'int8' }, { experts: 'int8', dense: 'int8' }] as const) {
      const values = await trained(choice);
      const error = rootMeanSquare(values.map((value, i) => value - stored[i]!)) / size;
      expect(error, JSON.stringify(choice)).to.be.within(1e-4, 0.1);
    }
  });
});

const rootMeanSquare = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
