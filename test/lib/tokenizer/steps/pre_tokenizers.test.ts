import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cutWords, preTokenizerSchema } from '../../../../lib/tokenizer/steps/pre_tokenizers.js';
import { repoRoot } from '../../../kit/paths.js';

describe('steps that cut texts', () => {
  it('cut as the reference library: every pattern, what becomes of matches, and the other way round', () => {
    const { texts, steps } = JSON.parse(
      readFileSync(join(repoRoot(), 'test', 'data', 'tokenizers', 'steps.json'), 'utf8'),
    ) as { texts: string[]; steps: [step: object, words: string[][]][] };
    expect(steps.length).to.be.above(130);
    for (const [step, words] of steps) {
      const cut = preTokenizerSchema.parse(step);
      texts.forEach((text, i) => {
        expect(cutWords(text, cut, true), `${JSON.stringify(step)}: ${text}`).to.deep.equal(words[i]);
      });
    }
  });
});
