import { expect } from 'chai';
import { outputTokensOf } from '../../../../../lib/cluster/router/passage/usage.js';

const counted = (answer: object): number | null => outputTokensOf(Buffer.from(JSON.stringify(answer)));

describe('what a whole answer says of its tokens', () => {
  it('is read where it says so', () => {
    expect(counted({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 17 } })).to.equal(17);
    expect(counted({ output: [], usage: { input_tokens: 3, output_tokens: 5, total_tokens: 8 } })).to.equal(5);
    expect(outputTokensOf(Buffer.from('{"usage" : {"completion_tokens" : 4}}'))).to.equal(4);
  });

  it('is nothing where it doesn’t, and not what its text says', () => {
    const text = '{"usage": {"completion_tokens": 9}}';
    expect(counted({ choices: [{ text }] })).to.equal(null);
    expect(counted({ usage: { completion_tokens: 2 }, choices: [{ text }] })).to.equal(2);
    expect(counted({ error: { code: 'x' } })).to.equal(null);
  });
});
