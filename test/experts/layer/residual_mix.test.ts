import { expect } from 'chai';
import { floatRows } from '../../../base/float_rows.js';
import { mixedWeights, mixOf } from '../../../experts/layer/residual_mix.js';

describe('the mix of experts and a network', () => {
  it('is a softmax over two logits of each token', () => {
    const x = floatRows(Float32Array.of(1, 2, -3, 0.5), 2);
    const mix = { weight_2H: Float32Array.of(0.5, -1, 2, 0.25), bias_2: Float32Array.of(0.1, -0.2) };
    const mixed = mixOf(mix, x);
    for (const [t, [a, b]] of [[1, 2] as const, [-3, 0.5] as const].entries()) {
      const logits = [0.5 * a - b + 0.1, 2 * a + 0.25 * b - 0.2].map(Math.exp) as [number, number];
      expect(mixed[2 * t]).to.be.closeTo(logits[0] / (logits[0] + logits[1]), 1e-6);
      expect(mixed[2 * t + 1]).to.be.closeTo(logits[1] / (logits[0] + logits[1]), 1e-6);
    }
  });

  it('has no NaN where one of both is far ahead', () => {
    const far = mixOf(
      { weight_2H: Float32Array.of(1e30, -1e30), bias_2: new Float32Array(2) },
      floatRows(Float32Array.of(1e8, -1e8), 1),
    );
    expect([...far]).to.deep.equal([1, 0, 0, 1]);
  });

  it('multiplies the weights of a token’s choices', () => {
    const weights = mixedWeights(Float32Array.of(1, 2, 3, 4), Float32Array.of(0.5, 0.5, 0.25, 0.75));
    expect([...weights]).to.deep.equal([0.5, 1, 0.75, 1]);
  });
});
