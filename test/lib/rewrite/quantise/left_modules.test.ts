import { expect } from 'chai';
import { moduleMatcher } from '../../../../lib/model/stored/module_patterns.js';
import { leftPatterns } from '../../../../lib/rewrite/quantise/left_modules.js';

const layers = (part: string, numbers: readonly number[]): string[] =>
  numbers.map((layer) => `model.layers.${layer}.${part}`);

describe('modules that stay as they are', () => {
  it('have one pattern for all layers, which matches them and no other', () => {
    const left = ['lm_head', ...layers('mlp.gate', [1, 2, 30])];
    const targets = [...layers('mlp.gate_proj', [0]), ...layers('mlp.experts.5.gate_proj', [1, 2, 30])];
    const patterns = leftPatterns(left, targets);
    expect(patterns).to.deep.equal(['lm_head', String.raw`re:^model\.layers\..*\.mlp\.gate$`]);
    const isLeft = moduleMatcher(patterns);
    expect([left.every(isLeft), targets.some(isLeft)]).to.deep.equal([true, false]);
  });

  it('are named one by one where a pattern would match a target', () => {
    const left = layers('mlp.experts.3.up_proj', [1, 2]);
    expect(leftPatterns(left, layers('mlp.experts.4.up_proj', [1]))).to.deep.equal(left);
  });
});
