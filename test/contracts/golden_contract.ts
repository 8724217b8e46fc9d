/** What a trained framework's golden files ask of this one: the same suite for every backend and way to compute. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BackendName } from '../../compute/tfjs/tf.js';
import type { Compute } from '../../lib/model/weights/residence.js';
import type { MlaForm } from '../../lib/model/spec/spec.js';
import { heldMemory } from '../kit/kernels/held_memory.js';
import { outputPart, promptPart, startLocalJob, startOf, type LocalJob } from '../kit/engine/local_job.js';
import { tinyModel } from '../kit/paths.js';

export interface TinyGolden {
  readonly prompt_token_ids: number[];
  readonly greedy_token_ids: number[];
  readonly logits: number[][];
  readonly routing: { readonly topk_idx: number[][]; readonly topk_weight_by_sorted_idx: number[][] }[];
}

export const goldenOf = (name: string): TinyGolden =>
  JSON.parse(readFileSync(join(tinyModel(name), 'golden.json'), 'utf8')) as TinyGolden;

/** Feeds a prompt in chunks of the given sizes and returns the logits of all tokens. */
export async function prefill(
  job: LocalJob,
  prompt: readonly number[],
  chunks: readonly number[],
): Promise<Float32Array> {
  const all: number[] = [];
  let position = 0;
  for (const [i, size] of chunks.entries()) {
    const tokens = prompt.slice(position, position + size);
    const begin = i === 0 ? [[startOf(0)]] : [];
    const [outputs] = await job.step([[promptPart(0, tokens, position)]], begin);
    all.push(...outputs![0]!.logits!);
    position += size;
  }
  job.end(0);
  return Float32Array.from(all);
}

const largestError = (actual: Float32Array, expected: readonly number[]): number =>
  expected.reduce((worst, value, i) => Math.max(worst, Math.abs(value - actual[i]!)), 0);

/** The checkpoints that golden files were made of. */
export const GOLDEN_MODELS = [
  ...['tiny-deepseek-v2', 'tiny-deepseek-v3', 'tiny-deepseek-v3-fp8', 'tiny-gpt-oss'],
  ...['tiny-mixtral', 'tiny-olmoe', 'tiny-qwen2-moe', 'tiny-qwen3-moe'],
];

export interface GoldenOptions {
  readonly compute: Compute;
  readonly backend: BackendName;
  /** Whether a token's logits have the same bits whatever is computed beside it; otherwise they are only as near as maxError. */
  readonly isRowExact: boolean;
  /** How far a logit may be from the golden one. Default 1e-4. */
  readonly maxError?: number;
}

/** Declares the suite of one checkpoint. */
export function describeGolden(name: string, { compute, backend, isRowExact, maxError = 1e-4 }: GoldenOptions): void {
  describe(`golden of ${name}, ${compute} on ${backend}`, () => {
    const own = { backend, residence: { compute } };
    const golden = goldenOf(name);
    const prompt = golden.prompt_token_ids;
    const expected = golden.logits.flat();
    const forms: MlaForm[] = name.includes('deepseek') ? ['auto', 'naive', 'absorbed'] : ['auto'];

    for (const mla of forms) {
      it(`logits agree within ${maxError} whether the prompt comes whole, in chunks or token by token (mla: ${mla})`, async () => {
        const job = await startLocalJob(tinyModel(name), { ...own, mla, reduce: 'source' });
        const whole = await prefill(job, prompt, [prompt.length]);
        expect(whole.length).to.equal(expected.length);
        expect(largestError(whole, expected)).to.be.below(maxError);
        for (const chunks of [[7, 5, 12], [16, 8], prompt.map(() => 1)]) {
          const parts = await prefill(job, prompt, chunks);
          const label = `chunks ${chunks.join()}`;
          expect(largestError(parts, expected), label).to.be.below(maxError);
          if (isRowExact) expect(Buffer.from(parts.buffer).equals(Buffer.from(whole.buffer)), label).to.equal(true);
        }
        await job.close();
      });
    }

    for (const numRanks of [1, 2, 3]) {
      it(`${numRanks} ranks decode its greedy tokens`, async () => {
        const job = await startLocalJob(tinyModel(name), { ...own, numRanks, placement: 'round_robin' });
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
      const job = await startLocalJob(tinyModel(name), own);
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

    it(`weighs every choice within ${maxError / 10}`, async () => {
      const job = await startLocalJob(tinyModel(name), own);
      const routings = await job.routingsOf(prompt);
      expect(routings).to.have.length(golden.routing.length);
      golden.routing.forEach(({ topk_idx, topk_weight_by_sorted_idx }, layer) => {
        const { topkIdx, topkWeights } = routings[layer]!;
        topk_idx.forEach((experts, t) => {
          experts.forEach((expert, i) => {
            const choice = topkIdx.indexOf(expert, t * experts.length);
            expect(Math.floor(choice / experts.length)).to.equal(t);
            expect(topkWeights[choice]).to.be.closeTo(topk_weight_by_sorted_idx[t]![i]!, maxError / 10);
          });
        });
      });
      await job.close();
    });

    it('leaves nothing behind', async () => {
      const before = heldMemory([]).numTensors;
      const job = await startLocalJob(tinyModel(name), { ...own, numRanks: 2 });
      const loaded = heldMemory(job.models);
      expect(loaded.numTensors > before).to.equal(compute === 'tensors');
      await prefill(job, prompt, [prompt.length]);
      expect(heldMemory(job.models)).to.deep.equal(loaded);
      await job.close();
      expect(heldMemory(job.models).numTensors).to.equal(before);
      for (const model of job.models) expect(model.kernelStats()).to.include({ heldBytes: 0, scratchBytes: 0 });
    });
  });
}
