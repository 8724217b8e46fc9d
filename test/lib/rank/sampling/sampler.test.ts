import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { uniform } from '../../../../base/philox.js';
import { checkSampledTokens, checkSampling, GREEDY, type SamplingParams } from '../../../../lib/protocol/sampling.js';
import { sampleToken as sampleRow } from '../../../../lib/rank/sampling/sampler.js';
import { logitRowsOf } from '../../../../lib/model/decoder/logits.js';
import { repoRoot } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { randomFrom, randomValues } from '../../../refs/random.js';
import { distributionRef, drawRef, type HistoryRef } from '../../../refs/sampler_ref.js';

const HOT: SamplingParams = { ...GREEDY, temperature: 1 };

const sampleToken = (logits: Float32Array, params: SamplingParams, history: readonly number[]): number =>
  sampleAfter(logits, params, { prompt: history, output: [], ends: [] });

const sampleAfter = (logits: Float32Array, sampling: SamplingParams, { prompt, output, ends }: HistoryRef): number =>
  sampleRow(logitRowsOf(logits, logits.length)[0]!, {
    sampling,
    tokenIds: [...prompt, ...output],
    numPromptTokens: prompt.length,
    endTokenIds: ends,
  });

/** A history of this many tokens, none of which the vocabulary of a test has a logit for twice. */
const historyOf = (length: number): number[] => new Array<number>(length).fill(0);

/** The tokens that many positions draw. */
function tokensOf(logits: Float32Array, params: SamplingParams, numDraws = 300): Set<number> {
  return new Set(Array.from({ length: numDraws }, (_, i) => sampleToken(logits, params, historyOf(i + 1))));
}

/** Ties and steps of 1/1024, so that different logits have different probabilities. */
const logitsOf = fc
  .array(
    fc.oneof(
      fc.integer({ min: -3, max: 3 }),
      fc.integer({ min: -8192, max: 8192 }).map((v) => v / 1024),
    ),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  .map((values) => Float32Array.from(values));

/** Token 0 is always allowed and never an end. */
const VOCAB = 12;
const token = fc.nat(VOCAB - 1);

const samplingOf: fc.Arbitrary<SamplingParams> = fc.record({
  presencePenalty: fc.constantFrom(0, 0, 0.7, -1.3, 2),
  frequencyPenalty: fc.constantFrom(0, 0, 0.3, -0.9, 2),
  logitBias: fc.oneof(
    fc.constant([]),
    fc.array(fc.tuple(token, fc.constantFrom(-100, -1.7, 0.4, 3)), { maxLength: 3 }),
  ),
  allowedTokenIds: fc.oneof(
    fc.constant(null),
    fc.array(token, { maxLength: 5 }).map((ids) => [0, ...ids]),
  ),
  minTokens: fc.constantFrom(0, 0, 1, 3),
  temperature: fc.constantFrom(0, 0.3, 0.7, 1, 1.9),
  topK: fc.constantFrom(0, 0, 1, 2, 5, 50),
  topP: fc.constantFrom(1, 1, 0.95, 0.61, 0.13),
  minP: fc.constantFrom(0, 0, 0.031, 0.17, 0.77),
  repetitionPenalty: fc.constantFrom(1, 1, 1.3, 0.7),
  seed: fc.maxSafeNat(),
  choice: fc.nat(5),
});

const historyArb: fc.Arbitrary<HistoryRef> = fc.record({
  prompt: fc.array(token, { maxLength: 6 }),
  output: fc.array(token, { maxLength: 6 }),
  ends: fc.array(fc.integer({ min: 1, max: VOCAB - 1 }), { maxLength: 4 }),
});

/** The same for a vocabulary of this many tokens. */
function within<T extends SamplingParams | HistoryRef>(value: T, vocabSize: number): T {
  const fits = (item: number | readonly number[]): boolean => (typeof item === 'number' ? item : item[0]!) < vocabSize;
  const fitting = (item: unknown): unknown => (Array.isArray(item) ? (item as number[]).filter(fits) : item);
  const entries = Object.entries(value).map(([key, item]) => [key, fitting(item)]);
  return Object.fromEntries(entries) as T;
}

/** What the file's `source` computed. */
interface TransformersCase {
  readonly params: Partial<SamplingParams>;
  readonly history: readonly number[];
  readonly logits: readonly number[];
  readonly probabilities: readonly number[];
}

/** Of a vocabulary in which more than the few most likely tokens may be drawn: peaked or flat. */
const manyLogitsOf = fc
  .record({ vocabSize: fc.integer({ min: 65, max: 220 }), spread: fc.constantFrom(0.01, 0.5, 3), seed: fc.nat() })
  .map(({ vocabSize, spread, seed }) => randomValues(randomFrom(seed), vocabSize, 5 * spread));

describe('sampler', () => {
  it('draws the same whether a few of the most likely tokens decide or all, of any vocabulary', () => {
    let numBeyond = 0;
    fc.assert(
      fc.property(manyLogitsOf, samplingOf, (logits, anyParams) => {
        const params = { ...within(anyParams, logits.length), allowedTokenIds: null, minTokens: 0 };
        const history = { prompt: [1], output: [], ends: [] };
        const probabilities = distributionRef(logits, params, history);
        const drawn = sampleAfter(logits, params, history);
        expect(drawn).to.equal(drawRef(probabilities, uniform(params.seed, params.choice, 1)));
        if (probabilities.filter((each) => each > probabilities[drawn]!).length >= 64) numBeyond++;
      }),
      { numRuns: 500 },
    );
    expect(numBeyond).to.be.above(0);
  });

  it('draws what the whole-vocabulary reference draws, for any logits, parameters and history', () => {
    fc.assert(
      fc.property(logitsOf, samplingOf, historyArb, (logits, anyParams, anyHistory) => {
        const params = within(anyParams, logits.length);
        const history = within(anyHistory, logits.length);
        const probabilities = distributionRef(logits, params, history);
        const u = uniform(params.seed, params.choice, history.prompt.length + history.output.length);
        expect(sampleAfter(logits, params, history)).to.equal(drawRef(probabilities, u));
      }),
      { numRuns: 4000 },
    );
  });

  it('the reference’s probabilities are those of transformers’ processors', async () => {
    const file = join(repoRoot(), 'test', 'data', 'sampling', 'transformers.json');
    const { cases } = JSON.parse(await readFile(file, 'utf8')) as { readonly cases: readonly TransformersCase[] };
    expect(cases).to.have.length(30);
    for (const { params, history, logits, probabilities } of cases) {
      const own = distributionRef(logits, { ...GREEDY, ...params }, { prompt: history, output: [], ends: [] });
      for (const [id, p] of own.entries()) expect(p).to.be.closeTo(probabilities[id]!, 1e-6);
    }
  });

  it('leaves the logits as they are', () => {
    const logits = randomValues(randomFrom(1), 20, 5);
    const before = logits.slice();
    sampleToken(logits, { ...HOT, topK: 3, topP: 0.5, minP: 0.1, repetitionPenalty: 2 }, [1, 2, 3]);
    expect(logits).to.deep.equal(before);
  });

  it('a sample depends on seed, choice and position alone, not on what the history holds', () => {
    const logits = randomValues(randomFrom(2), 50);
    fc.assert(
      fc.property(
        fc.array(fc.nat(49), { minLength: 1, maxLength: 20 }),
        fc.nat(),
        fc.nat(3),
        (history, seed, choice) => {
          const params = { ...HOT, seed, choice };
          expect(sampleToken(logits, params, history)).to.equal(sampleToken(logits, params, historyOf(history.length)));
        },
      ),
    );
    expect(tokensOf(logits, HOT, 40).size).to.be.above(10);
    const bySeed = new Set(Array.from({ length: 40 }, (_, seed) => sampleToken(logits, { ...HOT, seed }, [1])));
    const byChoice = new Set(Array.from({ length: 40 }, (_, choice) => sampleToken(logits, { ...HOT, choice }, [1])));
    expect(Math.min(bySeed.size, byChoice.size)).to.be.above(10);
  });

  it('draws each token as often as its probability says', () => {
    const logits = Float32Array.from([0.1, 0.2, 0.3, 0.15, 0.25], Math.log);
    const NUM_DRAWS = 20_000;
    for (const seed of [1, 2]) {
      const counts = [0, 0, 0, 0, 0];
      for (let i = 1; i <= NUM_DRAWS; i++) counts[sampleToken(logits, { ...HOT, seed, choice: i }, [0])]!++;
      const expected = [0.1, 0.2, 0.3, 0.15, 0.25].map((p) => p * NUM_DRAWS);
      const chiSquare = counts.reduce(
        (sum, count, token) => sum + (count - expected[token]!) ** 2 / expected[token]!,
        0,
      );
      expect(chiSquare).to.be.below(18.5); // 4 degrees of freedom, p = 0.001
    }
  });

  it('temperature 0 takes the most likely token, the lowest on ties, whatever the other parameters', () => {
    expect(sampleToken(Float32Array.of(1, 7, 3, 7, 7), GREEDY, [0])).to.equal(1);
    expect(sampleToken(Float32Array.of(2, 2), { ...GREEDY, topK: 1, minP: 1, topP: 0.1 }, [0])).to.equal(0);
    expect(sampleToken(Float32Array.of(-5, -4), GREEDY, [])).to.equal(1);
  });

  it('a vanishing temperature is greedy, and a huge one even', () => {
    const logits = Float32Array.of(-30, 90, -80, 89);
    for (const temperature of [1e-3, 1e-30, 1e-308, Number.MIN_VALUE]) {
      expect([...tokensOf(logits, { ...HOT, temperature })], `temperature ${temperature}`).to.deep.equal([1]);
    }
    expect(tokensOf(logits, { ...HOT, temperature: 1e6 }).size).to.equal(4);
  });

  it('top_k keeps the k most likely, the lower token on ties', () => {
    const logits = Float32Array.of(1, 1, 2, 1, 1);
    expect(tokensOf(logits, { ...HOT, topK: 2 })).to.deep.equal(new Set([0, 2]));
    expect(tokensOf(logits, { ...HOT, topK: 1 })).to.deep.equal(new Set([2]));
    expect(tokensOf(logits, { ...HOT, topK: 9 }).size).to.equal(5);
  });

  it('top_p keeps the fewest most likely tokens that reach the sum', () => {
    const logits = Float32Array.from([0.5, 0.3, 0.15, 0.05], Math.log);
    expect([...tokensOf(logits, { ...HOT, topP: 0.45 })]).to.have.members([0]);
    expect([...tokensOf(logits, { ...HOT, topP: 0.55 })]).to.have.members([0, 1]);
    expect([...tokensOf(logits, { ...HOT, topP: 0.82 })]).to.have.members([0, 1, 2]);
    expect([...tokensOf(logits, { ...HOT, topP: 1e-9 })]).to.have.members([0]);
  });

  it('min_p keeps tokens at least that fraction as likely as the first, after the temperature', () => {
    const logits = Float32Array.from([0.5, 0.3, 0.15, 0.05], Math.log);
    expect([...tokensOf(logits, { ...HOT, minP: 0.55 })]).to.have.members([0, 1]);
    expect([...tokensOf(logits, { ...HOT, minP: 0.25 })]).to.have.members([0, 1, 2]);
    expect([...tokensOf(logits, { ...HOT, minP: 1 })]).to.have.members([0]);
    // At temperature 2 the ratios are square roots: 0.3 → 0.55, 0.1 → 0.32.
    expect([...tokensOf(logits, { ...HOT, minP: 0.5, temperature: 2 })]).to.have.members([0, 1, 2]);
  });

  it('top_p counts the probabilities that top_k left', () => {
    const logits = Float32Array.from([0.4, 0.3, 0.2, 0.1], Math.log);
    // Of the first two, renormalised to 4/7 and 3/7, one reaches 0.55; of all four it takes two.
    expect([...tokensOf(logits, { ...HOT, topK: 2, topP: 0.55 })]).to.have.members([0]);
    expect([...tokensOf(logits, { ...HOT, topP: 0.55 })]).to.have.members([0, 1]);
  });

  it('the repetition penalty divides positive logits and multiplies negative ones, once per token', () => {
    const greedy = { ...GREEDY, repetitionPenalty: 2 };
    expect(sampleToken(Float32Array.of(4, 3), greedy, [0])).to.equal(1); // 2 < 3
    expect(sampleToken(Float32Array.of(4, 1.5), greedy, [0, 0, 0])).to.equal(0); // 2, not 0.5
    expect(sampleToken(Float32Array.of(-1, -1.5), greedy, [0])).to.equal(1); // −2 < −1.5
    expect(sampleToken(Float32Array.of(-1, -2.5), greedy, [0, 0])).to.equal(0); // −2, not −4
    expect(sampleToken(Float32Array.of(3, 4), { ...greedy, repetitionPenalty: 0.5 }, [0])).to.equal(0); // 6 > 4
  });

  it('refuses impossible parameters by name, with value and range', async () => {
    const wrong: [keyof SamplingParams, string, readonly number[]][] = [
      ['temperature', 'temperature', [-0.1, NaN, Infinity]],
      ['topK', 'top_k', [-1, 1.5, NaN]],
      ['topP', 'top_p', [0, 1.01, -1, NaN]],
      ['minP', 'min_p', [-0.1, 1.1, NaN]],
      ['repetitionPenalty', 'repetition_penalty', [0, -1, NaN, Infinity]],
      ['presencePenalty', 'presence_penalty', [-2.1, 2.1, NaN]],
      ['frequencyPenalty', 'frequency_penalty', [-2.1, 2.1, NaN]],
      ['minTokens', 'min_tokens', [-1, 0.5, NaN, Infinity]],
      ['seed', 'seed', [-1, 0.5, 2 ** 53, NaN]],
    ];
    for (const [key, name, values] of wrong) {
      for (const value of values) {
        const error = await errorOf(EngineError, () => checkSampling({ ...HOT, [key]: value }));
        expect(error.code).to.equal('INVALID_REQUEST');
        expect(error.message).to.contain(`${name} is ${value}; give `);
      }
    }
    fc.assert(fc.property(samplingOf, (params) => checkSampling(params)));
  });

  it('refuses logits that are not finite, greedy or not', async () => {
    for (const temperature of [0, 1]) {
      const act = (): number => sampleToken(Float32Array.of(1, NaN, 2), { ...HOT, temperature }, []);
      const error = await errorOf(EngineError, act);
      expect(error.code).to.equal('NOT_FINITE');
      expect(error.message).to.contain('token 1 is NaN');
    }
  });

  it('presence is taken off once and frequency each time, of output tokens alone', () => {
    const history = { prompt: [1, 1, 1], output: [0, 0, 2], ends: [] };
    const best = (logits: readonly number[], params: Partial<SamplingParams>): number =>
      sampleAfter(Float32Array.from(logits), { ...GREEDY, ...params }, history);
    expect(best([3, 2.6, 0], { presencePenalty: 0.5 })).to.equal(1);
    expect(best([3, 2.4, 0], { presencePenalty: 0.5 })).to.equal(0); // once, though it came twice
    expect(best([3, 2.4, 0], { frequencyPenalty: 0.5 })).to.equal(1);
    expect(best([3, 2.1, 2.4], { frequencyPenalty: 0.5 })).to.equal(1); // 2, 2.1, 1.9
    expect(best([0, 3, 2.9], { presencePenalty: -0.5 })).to.equal(2);
  });

  it('the repetition penalty comes before the others, and a bias before it', () => {
    const history = { prompt: [], output: [0], ends: [] };
    const params = { ...GREEDY, repetitionPenalty: 2, presencePenalty: 1 };
    expect(sampleAfter(Float32Array.of(4, 1.2), params, history)).to.equal(1); // 4/2 − 1, not (4 − 1)/2
    const biased = { ...GREEDY, repetitionPenalty: 2, logitBias: [[0, 4]] } as const;
    expect(sampleAfter(Float32Array.of(0, 2.5), biased, history)).to.equal(1); // (0 + 4)/2, not 0 + 4
  });

  it('only allowed tokens come, whatever biases say, and end tokens not too early', () => {
    const logits = Float32Array.of(0, 5, 9, 7);
    const allowed = { ...HOT, allowedTokenIds: [0, 1], logitBias: [[2, 100]] } as const;
    expect(tokensOf(logits, { ...allowed, temperature: 9 })).to.deep.equal(new Set([0, 1]));
    const after = (numOutput: number, ends: readonly number[]): number =>
      sampleAfter(logits, { ...GREEDY, minTokens: 2 }, { prompt: [2, 2, 2], output: historyOf(numOutput), ends });
    expect([0, 1, 2, 3].map((numOutput) => after(numOutput, [2, 3]))).to.deep.equal([1, 1, 2, 2]);
  });

  it('a token that can not come is never drawn, also by a number next to 1', () => {
    const logits = Float32Array.of(1, 1, 1, 1);
    expect(tokensOf(logits, { ...HOT, allowedTokenIds: [2] }, 2000)).to.deep.equal(new Set([2]));
    expect(tokensOf(logits, { ...HOT, allowedTokenIds: [2, 0], topK: 3 }, 2000)).to.deep.equal(new Set([0, 2]));
  });

  it('refuses lists of tokens that do not exist, are too long, or leave none', async () => {
    const model = { vocabSize: 6, endTokenIds: [4, 5] };
    const manyBiases = Array.from({ length: 1025 }, () => [1, 1] as const);
    const wrong: [Partial<SamplingParams>, RegExp][] = [
      [{ logitBias: [[6, 1]] }, /logit_bias has token id 6, outside the model's vocabulary; give ids from 0 to 5$/],
      [{ logitBias: [[1, 101]] }, /logit_bias of token 1 is 101; give a number from −100 to 100$/],
      [{ logitBias: [[1, NaN]] }, /logit_bias of token 1 is NaN/],
      [{ logitBias: manyBiases }, /logit_bias has 1025 tokens; give at most 1024$/],
      [{ allowedTokenIds: [1, -1] }, /allowed_token_ids has token id -1/],
      [{ allowedTokenIds: [0.5] }, /allowed_token_ids has token id 0.5/],
      [{ allowedTokenIds: historyOf(7) }, /allowed_token_ids has 7 tokens; give at most 6$/],
      [{ allowedTokenIds: [] }, /allowed_token_ids is empty; allow a token more$/],
      [{ allowedTokenIds: [4, 5], minTokens: 1 }, /min_tokens lets no token come/],
    ];
    for (const [params, message] of wrong) {
      const error = await errorOf(EngineError, () => checkSampledTokens({ ...HOT, ...params }, model));
      expect(error.code).to.equal('INVALID_REQUEST');
      expect(error.message).to.match(message);
    }
    const allEnds = { vocabSize: 2, endTokenIds: [0, 1] };
    await errorOf(EngineError, () => checkSampledTokens({ ...HOT, minTokens: 1 }, allEnds));
    checkSampledTokens(HOT, allEnds);
    checkSampledTokens({ ...HOT, allowedTokenIds: [4, 3], minTokens: 9, logitBias: [[5, -100]] }, model);
  });
});
