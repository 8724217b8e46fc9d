import { expect } from 'chai';
import { pipelineSchema, TokenPipeline } from '../../../../lib/tokenizer/pipeline/pipeline.js';
import { spoiledTokenizer } from '../../../kit/model/spoiled_tokenizers.js';

describe('a tokenizer.json in which something is wrong', () => {
  it('is refused with the place, or makes tokens and texts: 300 of them', () => {
    let numRefused = 0;
    for (let seed = 0; seed < 300; seed++) {
      const { json, what } = spoiledTokenizer(seed);
      const parts = pipelineSchema.safeParse(json);
      if (!parts.success) {
        numRefused++;
        expect(parts.error.issues[0]!.path, what).not.to.deep.equal([]);
        continue;
      }
      const pipeline = new TokenPipeline(parts.data);
      expect(() => pipeline.decode(pipeline.encode('Hello <s> world 漢字 qz\n  x½ Ⅷ😀')), what).not.to.throw();
    }
    expect(numRefused).to.be.within(100, 280);
  });
});
