import { expect } from 'chai';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { padded } from '../../../../compute/wasm/memory/resident_dtype.js';
import { GREEDY } from '../../../../lib/protocol/sampling.js';
import { sampleToken } from '../../../../lib/rank/sampling/sampler.js';
import { InternalError } from '../../../../base/coded_error.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { ModelError } from '../../../../lib/model/spec/errors.js';
import { KernelKvCache } from '../../../../lib/model/kernels/kernel_kv_cache.js';
import { KernelStep } from '../../../../lib/model/kernels/kernel_step.js';
import { KernelVocabulary } from '../../../../lib/model/kernels/kernel_vocabulary.js';
import { EPS, gqaSpec, HIDDEN } from '../../../kit/kernels/attention_cases.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';
import { errorOf } from '../../../kit/rejects.js';
import { linearRef, normRef } from '../../../refs/attention_ref.js';
import { randomFrom, randomValues } from '../../../refs/random.js';

const VOCAB = 21;
const SPEC = gqaSpec({ vocab_size: VOCAB });
const random = randomFrom(1);
const [EMBEDDING, HEAD] = [0, 1].map(() => randomValues(random, VOCAB * HIDDEN)) as [Float32Array, Float32Array];
const NORM = randomValues(random, HIDDEN);
const FINAL_NORM = { weight: NORM, bias: null, eps: EPS };

const rowOf = (matrix: Float32Array, row: number): number[] => [...matrix.subarray(row * HIDDEN, (row + 1) * HIDDEN)];

describe('vocabulary of the kernels', () => {
  let memory: KernelMemory;
  let values: KernelValues;
  let step: KernelStep;

  beforeEach(() => {
    memory = new KernelMemory();
    values = new KernelValues(memory);
    step = new KernelStep(memory, SPEC, 'auto');
    step.prepare(
      [{ rowStart: 0, numTokens: 3, position: 0, blocks: [0], isPrompt: true }],
      3,
      new KernelKvCache(memory, SPEC, 16, 'f32'),
    );
  });

  const vocabulary = (isTied: boolean, embedding = EMBEDDING): KernelVocabulary =>
    new KernelVocabulary(SPEC, {
      embedding: values.matrix(embedding, VOCAB, HIDDEN),
      finalNorm: FINAL_NORM,
      headBias: null,
      head: isTied ? null : values.matrix(HEAD, VOCAB, HIDDEN),
    });

  for (const isTied of [false, true]) {
    it(`embeds tokens, and gives the logits of rows in any order: ${isTied ? 'tied' : 'its own head'}`, async () => {
      const model = vocabulary(isTied);
      const tokens = [VOCAB - 1, 0, 7];
      model.embed(step, Int32Array.from(tokens));
      tokens.forEach((token, t) => {
        expect([...memory.floats(step.x + 4 * t * padded(HIDDEN), HIDDEN)]).to.deep.equal(rowOf(EMBEDDING, token));
      });
      const logits = await model.logits(step, [2, 0]);
      [7, VOCAB - 1].forEach((token, i) => {
        const expected = linearRef(isTied ? EMBEDDING : HEAD, normRef(NORM, rowOf(EMBEDDING, token), EPS));
        const values = logits[i]!.values();
        values.forEach((logit, v) => expect(logit).to.be.closeTo(expected[v]!, 1e-5));
        const order = [...values.keys()].sort((a, b) => values[b]! - values[a]! || a - b);
        expect(logits[i]!.firstNonFinite()).to.equal(-1);
        expect(logits[i]!.at(3)).to.equal(values[3]);
        for (const k of [1, 5, VOCAB]) expect(logits[i]!.best(k)).to.deep.equal(order.slice(0, k));
      });
      expect(await model.logits(step, [])).to.deep.equal([]);
    });
  }

  it('a logit that is not finite is a NOT_FINITE error with its token', async () => {
    const model = vocabulary(
      true,
      EMBEDDING.map((value, i) => (Math.floor(i / HIDDEN) === 4 ? NaN : value)),
    );
    model.embed(step, Int32Array.of(1, 2, 3));
    const start = { sampling: GREEDY, tokenIds: [], numPromptTokens: 0, endTokenIds: [] };
    const error = await errorOf(EngineError, async () => sampleToken((await model.logits(step, [1]))[0]!, start));
    expect(error.message).to.match(/^NOT_FINITE: the logit of token 4 is NaN; check/);
  });

  it('tokens and rows that are not there are INTERNAL errors', async () => {
    const model = vocabulary(false);
    for (const bad of [-1, VOCAB]) {
      expect((await errorOf(InternalError, () => model.embed(step, Int32Array.of(0, bad, 0)))).code).to.equal(
        'INTERNAL',
      );
    }
    expect((await errorOf(InternalError, () => model.embed(step, Int32Array.of(0)))).message).to.contain(
      '1 tokens in a step of 3',
    );
    for (const bad of [-1, 3, 0.5, NaN]) {
      expect((await errorOf(InternalError, () => model.logits(step, [bad]))).code).to.equal('INTERNAL');
    }
  });

  it('weights of another shape are refused', async () => {
    const embedding = values.matrix(EMBEDDING, HIDDEN, VOCAB);
    const weights = { embedding, finalNorm: FINAL_NORM, head: null, headBias: null };
    const error = await errorOf(ModelError, () => new KernelVocabulary(SPEC, weights));
    expect(error.message).to.contain(`[${HIDDEN}, ${VOCAB}]`).and.to.contain(`[${VOCAB}, ${HIDDEN}]`);
  });
});
