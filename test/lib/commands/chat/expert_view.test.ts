import { expect } from 'chai';
import type { TracedToken } from '../../../../lib/commands/chat/answers/answer_trace.js';
import { expertView } from '../../../../lib/commands/chat/expert_view.js';

const token = (text: string, ...experts: readonly number[]): TracedToken => ({
  text,
  experts: experts.length === 0 ? null : experts.map((expert) => [expert, 31]),
});

describe('an answer by its experts', () => {
  const tokens = [token('Call', 5, 1), token(' me', 5, 2), token(' Ish', 7, 1), token('mael', 5, 1), token('.')];

  it('tells each run of tokens and how often each expert came first, without colours by numbers', () => {
    expect(expertView({ tokens, layer: 0, numLayers: 2, isColored: false }).split('\n')).to.deep.equal([
      'MoE layer 0 of 0 … 1: each token by its first expert',
      '[5]Call me[7] Ish[5]mael[–].',
      'expert 5 ×3  expert 7 ×1',
    ]);
    expect(expertView({ tokens, layer: 1, numLayers: 2, isColored: false })).to.contain('[1]Call[2] me[1] Ishmael');
  });

  it('gives the experts that come most a colour each, the same in the answer and its legend', () => {
    const view = expertView({ tokens, layer: 0, numLayers: 2, isColored: true });
    // eslint-disable-next-line no-control-regex -- colours are
    const colored = [...view.matchAll(/\u001b\[38;5;(\d+)m([^\u001b]*)\u001b\[39m/g)].map(([, color, text]) => [
      text,
      color,
    ]);
    const [five, seven] = [colored[0]![1], colored[1]![1]];
    expect(five).to.not.equal(seven);
    expect(colored).to.deep.equal([
      ['Call me', five],
      [' Ish', seven],
      ['mael', five],
      ['■ expert 5 ×3', five],
      ['■ expert 7 ×1', seven],
    ]);
  });

  it('leaves experts beyond its colours as they are', () => {
    const many = Array.from({ length: 20 }, (_, expert) => token(`t${expert}`, expert));
    const view = expertView({ tokens: many, layer: 0, numLayers: 1, isColored: true });
    expect(view).to.contain('mt11\u001b').and.contain('[39mt12t13');
  });

  it('shows nothing that a terminal would obey', () => {
    for (const isColored of [false, true]) {
      const view = expertView({ tokens: [token('\u001b[2J\r', 1)], layer: 0, numLayers: 1, isColored });
      expect(view).to.contain('\\u001b[2J').and.not.contain('\r');
    }
  });
});
