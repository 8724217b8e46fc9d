import { expect } from 'chai';
import type { MlaForm } from '../../../lib/model/spec.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { tensorMemory } from '../../../experts/tf.js';
import { outputPart, promptPart, startLocalJob, startOf, type LocalJob } from '../../kit/local_job.js';
import { tinyModel } from '../../kit/paths.js';

interface TinyGolden {
  readonly prompt_token_ids: number[];
  readonly greedy_token_ids: number[];
  readonly logits: number[][];
  readonly routing: { readonly topk_idx: number[][]; readonly topk_weight_by_sorted_idx: number[][] }[];
}

const goldenOf = (name: string): TinyGolden =>
  JSON.parse(readFileSync(join(tinyModel(name), 'golden.json'), 'utf8')) as TinyGolden;

/** Feeds a prompt in chunks of the given sizes and returns the logits of all tokens. */
async function prefill(job: LocalJob, prompt: readonly number[], chunks: readonly number[]): Promise<Float32Array> {
  const all: number[] = [];
  let position = 0;
  for (const [i, size] of chunks.entries()) {
    const tokens = prompt.slice(position, position + size);
    const begin = i === 0 ? [[startOf(0)]] : [];
    const [outputs] = await job.step([[promptPart(0, tokens, position)]], begin);
    all.push(...outputs![0]!.logits!);
    position += size;
  }
  job.executors[0]!.free([0]);
  return Float32Array.from(all);
}

const largestError = (actual: Float32Array, expected: readonly number[]): number =>
  expected.reduce((worst, value, i) => Math.max(worst, Math.abs(value - actual[i]!)), 0);

for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
  describe(`golden of ${name}`, () => {
    const golden = goldenOf(name);
    const prompt = golden.prompt_token_ids;
    const expected = golden.logits.flat();
    const forms: MlaForm[] = name.includes('deepseek') ? ['auto', 'naive', 'absorbed'] : ['auto'];

    for (const mla of forms) {
      it(`logits agree within 1e-4 whether the prompt comes whole, in chunks or token by token (mla: ${mla})`, async () => {
        const job = await startLocalJob(tinyModel(name), { mla, reduce: 'source' });
        const whole = await prefill(job, prompt, [prompt.length]);
        expect(whole.length).to.equal(expected.length);
        expect(largestError(whole, expected)).to.be.below(1e-4);
        for (const chunks of [[7, 5, 12], [16, 8], prompt.map(() => 1)]) {
          const parts = await prefill(job, prompt, chunks);
          expect(
            Buffer.compare(Buffer.from(parts.buffer), Buffer.from(whole.buffer)),
            `chunks ${chunks.join()}`,
          ).to.equal(0);
        }
        await job.close();
      });
    }

    for (const numRanks of [1, 3]) {
      it(`${numRanks} ranks decode its greedy tokens`, async () => {
        const job = await startLocalJob(tinyModel(name), { numRanks, placement: 'round_robin' });
        const [outputs] = await job.step([[promptPart(0, prompt)]], [[startOf(0)]]);
        const tokens = [outputs![0]!.tokenId!];
        while (tokens.length < golden.greedy_token_ids.length) {
          const [next] = await job.step([[outputPart(0, tokens.at(-1)!, prompt.length + tokens.length - 1)]]);
          tokens.push(next![0]!.tokenId!);
        }
        expect(tokens).to.deep.equal(golden.greedy_token_ids);
        await job.close();
      });
    }

    it('routes every token to the same experts', async () => {
      const job = await startLocalJob(tinyModel(name));
      const [outputs] = await job.step([[promptPart(0, prompt)]], [[startOf(0)]]);
      const routed = outputs![0]!.routedExperts!;
      const numTopk = golden.routing[0]!.topk_idx[0]!.length;
      const numLayers = golden.routing.length;
      golden.routing.forEach(({ topk_idx }, layer) => {
        topk_idx.forEach((expected, t) => {
          const start = (t * numLayers + layer) * numTopk;
          expect([...routed.subarray(start, start + numTopk)].sort((a, b) => a - b)).to.deep.equal(expected);
        });
      });
      await job.close();
    });

    it('weighs every choice within 1e-5', async () => {
      const job = await startLocalJob(tinyModel(name));
      const routings = await job.routingsOf(prompt);
      expect(routings).to.have.length(golden.routing.length);
      golden.routing.forEach(({ topk_idx, topk_weight_by_sorted_idx }, layer) => {
        const { topkIdx, topkWeights } = routings[layer]!;
        topk_idx.forEach((experts, t) => {
          experts.forEach((expert, i) => {
            const choice = topkIdx.indexOf(expert, t * experts.length);
            expect(Math.floor(choice / experts.length)).to.equal(t);
            expect(topkWeights[choice]).to.be.closeTo(topk_weight_by_sorted_idx[t]![i]!, 1e-5);
          });
        });
      });
      await job.close();
    });

    it('leaves no tensor behind', async () => {
      const before = tensorMemory().numTensors;
      const job = await startLocalJob(tinyModel(name), { numRanks: 2 });
      const loaded = tensorMemory().numTensors;
      await prefill(job, prompt, [prompt.length]);
      expect(tensorMemory().numTensors).to.equal(loaded);
      await job.close();
      expect(tensorMemory().numTensors).to.equal(before);
    });
  });
}
