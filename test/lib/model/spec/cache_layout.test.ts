import { expect } from 'chai';
import fc from 'fast-check';
import {
  cacheFloatsPerToken,
  cacheRowsOf,
  copyBetweenPadding,
  lengthWithoutPadding,
  withoutPadding,
} from '../../../../lib/model/spec/cache_layout.js';
import { gqaSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';
import { randomFrom, randomValues } from '../../../refs/random.js';

describe('rows of a KV cache', () => {
  it('are one lane of latent and key for MLA, keys and values of each head for GQA', () => {
    const mla = mlaSpec({ kv_lora_rank: 18, qk_rope_head_dim: 6 }).attention;
    expect(cacheRowsOf(mla)).to.deep.equal({ numLanes: 1, parts: [18, 6] });
    expect(cacheFloatsPerToken(mla)).to.equal(20 + 8);
    const gqa = gqaSpec({ num_key_value_heads: 3, head_dim: 10 }).attention;
    expect(cacheRowsOf(gqa)).to.deep.equal({ numLanes: 6, parts: [10] });
    expect(cacheFloatsPerToken(gqa)).to.equal(6 * 12);
  });

  it('lose the padding of each part, and get it back around them', () => {
    const shape = { numLanes: 1, parts: [5, 2] };
    const padded = Float32Array.of(1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 0, 0, -1, -2, -3, -4, -5, 0, 0, 0, -6, -7, 0, 0);
    const rows = [1, 2, 3, 4, 5, 6, 7, -1, -2, -3, -4, -5, -6, -7];
    expect([...withoutPadding(padded, shape)]).to.deep.equal(rows);
    const target = new Float32Array(padded.length).fill(9);
    copyBetweenPadding(Float32Array.from(rows), shape, target);
    expect([...target]).to.deep.equal([...padded].map((value) => (value === 0 ? 9 : value)));
  });

  it('come back from between padding for any widths', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }), fc.nat(6), (parts, n) => {
        const shape = { numLanes: 1, parts };
        const width = parts.reduce((a, b) => a + b);
        const paddedWidth = parts.reduce((sum, part) => sum + Math.ceil(part / 4) * 4, 0);
        const rows = randomValues(randomFrom(n), n * width);
        const padded = new Float32Array(n * paddedWidth);
        expect(lengthWithoutPadding(padded.length, shape)).to.equal(rows.length);
        copyBetweenPadding(rows, shape, padded);
        expect([...withoutPadding(padded, shape)]).to.deep.equal([...rows]);
      }),
    );
  });
});
