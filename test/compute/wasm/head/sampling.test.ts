import { expect } from 'chai';
import fc from 'fast-check';
import { GREEDY } from '../../../../lib/protocol/sampling.js';
import { sampleToken } from '../../../../lib/rank/sampling/sampler.js';
import { logitRowsOf } from '../../../../lib/model/decoder/logits.js';
import { KernelValues } from '../../../kit/kernels/kernel_values.js';

/** Few distinct values, so that ties are common, among arbitrary ones. */
const logit = fc.oneof(
  fc.integer({ min: -2, max: 2 }),
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.constant(-0),
);

const GREEDY_START = { sampling: GREEDY, tokenIds: [], numPromptTokens: 0, endTokenIds: [] };

describe('sampling kernels', () => {
  const values = new KernelValues();
  afterEach(() => values.free());

  const argmax = (logits: readonly number[]): number =>
    values.memory.kernels.argmax(values.floats(logits), logits.length);

  const topk = (logits: readonly number[], k: number): number[] => {
    const out = values.floats(k);
    values.memory.kernels.topk(values.floats(logits), logits.length, k, out);
    return [...values.memory.words(out, k)];
  };

  it('argmax is the greedy token: the largest logit, the lower token on ties', () => {
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 40 }), (logits) => {
        expect(argmax(logits)).to.equal(
          sampleToken(logitRowsOf(Float32Array.from(logits), logits.length)[0]!, GREEDY_START),
        );
        values.free();
      }),
      { numRuns: 500 },
    );
  });

  it('argmax reports the first logit that is not finite', () => {
    const lengths = [1, 3, 4, 9];
    for (const length of lengths) {
      for (let at = 0; at < length; at++) {
        for (const bad of [NaN, -NaN, Infinity, -Infinity]) {
          const logits = Array.from({ length }, (_, i) => (i < at ? i : bad));
          expect(argmax(logits)).to.equal(-1 - at);
        }
      }
    }
  });

  it('topk is the head of all tokens in order, best first, the lower token on ties', () => {
    fc.assert(
      fc.property(fc.array(logit, { minLength: 1, maxLength: 60 }), fc.nat(), (logits, seed) => {
        const k = 1 + (seed % logits.length);
        const order = logits.map((_, i) => i).sort((a, b) => logits[b]! - logits[a]! || a - b);
        expect(topk(logits.map(Math.fround), k)).to.deep.equal(order.slice(0, k));
        values.free();
      }),
      { numRuns: 500 },
    );
  });
});
