import { expect } from 'chai';
import type { Reduce } from '../../../comm/all_to_all/all_to_all.js';
import { tensorMemory } from '../../../compute/tfjs/tf.js';
import { promptPart, startLocalJob, startOf, type LocalJobOptions } from '../../kit/engine/local_job.js';
import { tinyModel } from '../../kit/paths.js';

const MODEL = tinyModel('tiny-deepseek-v3');
const PROMPT = [5, 17, 3, 40, 8, 21, 9];

/** Logits of a prompt on rank 0, of `second` on rank 1, and of nothing on the others. */
async function logitsOf(options: LocalJobOptions, second: readonly number[]): Promise<Float32Array[]> {
  const job = await startLocalJob(MODEL, { numRanks: 3, ...options });
  try {
    const parts = second.length === 0 ? [[promptPart(0, PROMPT)]] : [[promptPart(0, PROMPT)], [promptPart(1, second)]];
    const outputs = await job.step(parts, second.length === 0 ? [[startOf(0)]] : [[startOf(0)], [startOf(1)]]);
    return outputs.flat().map(({ logits }) => logits!);
  } finally {
    await job.close();
  }
}

const isSameBits = (a: Float32Array, b: Float32Array): boolean => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

describe('micro-batches', () => {
  for (const reduce of ['rank', 'source'] as const satisfies readonly Reduce[]) {
    it(`change no bit of the logits, for more or fewer tokens than micro-batches (reduce ${reduce})`, async () => {
      for (const second of [[], [11], [2, 30, 44, 6]]) {
        const whole = await logitsOf({ reduce }, second);
        for (const microBatches of [2, 3]) {
          const cut = await logitsOf({ reduce, microBatches }, second);
          expect(cut.length).to.equal(whole.length);
          for (const [i, logits] of cut.entries()) expect(isSameBits(logits, whole[i]!)).to.equal(true);
        }
      }
    });
  }

  it('leave no tensor behind', async () => {
    for (const compute of ['kernels', 'tensors'] as const) {
      const before = tensorMemory().numTensors;
      await logitsOf({ microBatches: 2, residence: { compute } }, [3, 4]);
      expect(tensorMemory().numTensors).to.equal(before);
    }
  });
});

describe('wire dtypes in a model', () => {
  it('with reduce source give the same bits whatever the number of ranks and the placement', async () => {
    for (const dtype of ['bf16', 'fp8', 'int8'] as const) {
      const wire = { dispatch: dtype, combine: dtype };
      const options = { wire, reduce: 'source' } as const;
      const [one] = await logitsOf({ ...options, numRanks: 1 }, []);
      const [three] = await logitsOf(options, []);
      const [other] = await logitsOf({ ...options, placement: 'round_robin', microBatches: 2 }, []);
      expect(isSameBits(three!, one!), `${dtype} on 1 and 3 ranks`).to.equal(true);
      expect(isSameBits(three!, other!), `${dtype} in both placements`).to.equal(true);
    }
  });

  it('of fewer bits move the logits further, but not far', async () => {
    const [exact] = await logitsOf({}, []);
    const errors: number[] = [];
    for (const dtype of ['bf16', 'fp8'] as const) {
      const [logits] = await logitsOf({ wire: { dispatch: dtype, combine: 'bf16' } }, []);
      errors.push(Math.max(...exact!.map((value, i) => Math.abs(value - logits![i]!))));
    }
    const [bf16, fp8] = errors as [number, number];
    expect(bf16).to.be.within(1e-6, 0.1);
    expect(fp8).to.be.within(bf16, 1);
  });
});
