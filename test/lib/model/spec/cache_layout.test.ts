import { expect } from 'chai';
import { cacheFloatsPerToken, cacheRowsOf } from '../../../../lib/model/spec/cache_layout.js';
import { gqaSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';

describe('rows of a KV cache', () => {
  it('are one lane of latent and key for MLA, keys and values of each head for GQA', () => {
    const mla = mlaSpec({ kv_lora_rank: 18, qk_rope_head_dim: 6 }).attention;
    expect(cacheRowsOf(mla)).to.deep.equal({ numLanes: 1, parts: [18, 6] });
    expect(cacheFloatsPerToken(mla)).to.equal(20 + 8);
    const gqa = gqaSpec({ num_key_value_heads: 3, head_dim: 10 }).attention;
    expect(cacheRowsOf(gqa)).to.deep.equal({ numLanes: 6, parts: [10] });
    expect(cacheFloatsPerToken(gqa)).to.equal(6 * 12);
  });
});
