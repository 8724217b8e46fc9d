import { expect } from 'chai';
import fc from 'fast-check';
import { logitRowsOf } from '../../../../lib/model/decoder/logits.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { LogprobRows } from '../../../../lib/rank/sampling/logprob_rows.js';
import type { LogprobTable } from '../../../../lib/protocol/step_plan.js';
import { errorOf } from '../../../kit/rejects.js';

const tableOf = (logits: readonly number[], token: number, numTop: number): LogprobTable => {
  const rows = new LogprobRows(numTop);
  rows.add(logitRowsOf(Float32Array.from(logits), logits.length)[0]!, token);
  return rows.table();
};

/** Ties are usual. */
const logitsOf = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ min: -50, max: 50, noNaN: true })), {
  minLength: 1,
  maxLength: 90,
});

describe('log-probabilities of a row of logits', () => {
  it('are those of a softmax, without overflow', () => {
    const logits = [0.5, 0.3, 0.2].map(Math.log);
    [0.5, 0.3, 0.2].forEach((p, token) => {
      expect(tableOf(logits, token, 0).logprobs[0]).to.be.closeTo(Math.log(p), 1e-6);
    });
    expect(tableOf([1000, 1000], 0, 0).logprobs[0]).to.be.closeTo(-Math.log(2), 1e-12);
    expect(tableOf([0, -1000], 1, 0).logprobs[0]).to.be.closeTo(-1000, 1e-9);
  });

  it('name rank and most likely tokens as a sort of the whole vocabulary does, the lower token first where two are alike', () => {
    fc.assert(
      fc.property(logitsOf, fc.nat(), fc.nat(20), (values, anyToken, numTop) => {
        const logits = values.map(Math.fround);
        const token = anyToken % logits.length;
        const order = logits.map((_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
        const { logprobs, ranks, topTokenIds, topLogprobs } = tableOf(logits, token, numTop);
        expect(ranks[0]).to.equal(order.indexOf(token) + 1);
        expect([...topTokenIds]).to.deep.equal(order.slice(0, numTop));
        const sum = logits.reduce((total, logit) => total + Math.exp(logit - logits[order[0]!]!), 0);
        const expected = (id: number): number => logits[id]! - logits[order[0]!]! - Math.log(sum);
        expect(logprobs[0]).to.equal(expected(token));
        expect([...topLogprobs]).to.deep.equal(order.slice(0, numTop).map(expected));
      }),
      { numRuns: 1000 },
    );
  });

  it('of several rows stand behind each other', () => {
    const rows = new LogprobRows(2);
    const [first, second] = logitRowsOf(Float32Array.of(0, 1, 2, 2, 1, 0), 3);
    rows.add(first!, 0);
    rows.add(second!, 0);
    const { ranks, topTokenIds, topLogprobs } = rows.table();
    expect([...ranks]).to.deep.equal([3, 1]);
    expect([...topTokenIds]).to.deep.equal([2, 1, 0, 1]);
    expect(topLogprobs).to.have.length(4);
  });

  it('are refused where a logit is not finite', async () => {
    const error = await errorOf(EngineError, () => tableOf([1, Infinity], 0, 1));
    expect(error.code).to.equal('NOT_FINITE');
  });
});
