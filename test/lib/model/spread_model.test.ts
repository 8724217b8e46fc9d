/** A model whose dense part lies in several memories computes what it computes in one. */
import { expect } from 'chai';
import { join } from 'node:path';
import { goldenOf, prefill, GOLDEN_MODELS } from '../../contracts/golden_contract.js';
import {
  outputPart,
  promptPart,
  startLocalJob,
  startOf,
  type LocalJob,
  type LocalJobOptions,
} from '../../kit/engine/local_job.js';
import { changeJson, changeTensors, copyModel } from '../../kit/model/model_copy.js';
import { tinyModel } from '../../kit/paths.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const NUM_NEW = 5;

async function withJob<T>(dir: string, options: LocalJobOptions, use: (job: LocalJob) => Promise<T>): Promise<T> {
  const job = await startLocalJob(dir, { reduce: 'source', ...options });
  try {
    return await use(job);
  } finally {
    await job.close();
  }
}

/** Logits of a prompt in two chunks, and then of tokens that one sequence generates while the prompt of another one comes. */
const logitsOf = (dir: string, prompt: readonly number[], options: LocalJobOptions): Promise<Float32Array[]> =>
  withJob(dir, options, async (job) => {
    const logits = [await prefill(job, prompt, [10, prompt.length - 10])];
    const [first] = await job.step([[promptPart(0, prompt)]], [[startOf(0)]]);
    let token = first![0]!.tokenId!;
    for (let i = 0; i < NUM_NEW; i++) {
      const parts = [outputPart(0, token, prompt.length + i), promptPart(1, prompt.slice(i, i + 1), i, false)];
      const [outputs] = await job.step([parts], i === 0 ? [[startOf(1)]] : []);
      logits.push(...outputs!.map((output) => Float32Array.from(output.logits!)));
      token = outputs![0]!.tokenId!;
    }
    return logits;
  });

function expectSame(actual: readonly Float32Array[], expected: readonly Float32Array[], what: string): void {
  expect(actual.length).to.equal(expected.length);
  for (const [i, logits] of actual.entries())
    expect(isSameBits(logits, expected[i]!), `${what}, logits ${i}`).to.equal(true);
}

describe('a dense part in several memories', () => {
  // That of FP8 has too few layers for several memories.
  for (const name of GOLDEN_MODELS.filter((each) => each !== 'tiny-deepseek-v3-fp8')) {
    const { prompt_token_ids: prompt } = goldenOf(name);

    it(`gives the same bits as in one, over 2 and 3 memories, one rank and two: ${name}`, async () => {
      const expected = await logitsOf(tinyModel(name), prompt, {});
      for (const numMemories of [2, 3]) {
        const actual = await logitsOf(tinyModel(name), prompt, { numMemories });
        expectSame(actual, expected, `${numMemories} memories`);
      }
      const ranks = await logitsOf(tinyModel(name), prompt, { numMemories: 2, numRanks: 2 });
      expectSame(ranks, expected, '2 ranks');
    });

    it(`gives the same bits over 4, of which one holds the vocabulary alone: ${name}`, async () => {
      const expected = await logitsOf(tinyModel(name), prompt, {});
      const reservedBytes = [0, 0, 0, 0];
      for (const [layers, embedding, head] of [
        [[1, 2, 3], 0, 0],
        [[0, 1, 3], 2, 0],
        [[0, 0, 2], 3, 1],
      ] as const) {
        const spread = { layers, embedding, head, reservedBytes };
        expectSame(await logitsOf(tinyModel(name), prompt, { spread }), expected, `layers in ${layers.join()}`);
      }
    });

    it(`gives the same bits where the embedding is the head: ${name}`, () =>
      withTempFolder(async (dir) => {
        await copyModel(tinyModel(name), dir);
        await changeTensors(dir, (tensor) => (tensor.name === 'lm_head.weight' ? undefined : tensor));
        await changeJson(join(dir, 'config.json'), { tie_word_embeddings: true });
        const expected = await logitsOf(dir, prompt, {});
        for (const numMemories of [2, 3])
          expectSame(await logitsOf(dir, prompt, { numMemories }), expected, `${numMemories} memories`);
      }));

    it(`gives back all that it held: ${name}`, () =>
      withJob(tinyModel(name), { numMemories: 3 }, async (job) => {
        const [model] = job.models;
        const { heldBytes, numMemories } = model!.kernelStats();
        expect(numMemories).to.be.at.least(3);
        await prefill(job, prompt, [prompt.length]);
        expect(model!.kernelStats().heldBytes, 'blocks are freed').to.equal(heldBytes);
        model!.dispose();
        expect(model!.kernelStats()).to.include({ heldBytes: 0, scratchBytes: 0 });
        model!.dispose = () => undefined; // the job's own
      }));
  }
});
