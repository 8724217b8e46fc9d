import { expect } from 'chai';
import fc from 'fast-check';
import { logitRowsOf, manyBest } from '../../../../lib/model/decoder/logits.js';

const logitsOf = fc
  .array(fc.oneof(fc.float({ noNaN: true }), fc.constantFrom(0, -0, 1, -1, -Infinity)), {
    minLength: 1,
    maxLength: 200,
  })
  .map((values) => Float32Array.from(values));

/** Sorted by a function that compares. */
const bestRef = (logits: Float32Array, k: number): number[] =>
  Array.from(logits, (_, token) => token)
    .sort((a, b) => (logits[a] === logits[b] ? a - b : logits[b]! - logits[a]!))
    .slice(0, k);

describe('a row of logits', () => {
  it('gives its best tokens, the lower one on ties, both zeros alike, whether few or many are asked for', () => {
    fc.assert(
      fc.property(logitsOf, fc.integer({ min: 1, max: 200 }), (logits, most) => {
        const k = Math.min(most, logits.length);
        const [row] = logitRowsOf(logits, logits.length);
        expect(row!.best(k)).to.deep.equal(bestRef(logits, k));
        expect(manyBest(logits, k)).to.deep.equal(bestRef(logits, k));
      }),
      { numRuns: 1000 },
    );
  });
});
