import { expect } from 'chai';
import fc from 'fast-check';
import { blockFloats, fillBlock, rowFloats, rowsOfBlock } from '../../../../lib/model/kernels/block_layout.js';
import { gqaSpec, indexedSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

const mla = mlaSpec({ kv_lora_rank: 5, qk_rope_head_dim: 2 }).attention;

describe('blocks of the kernels’ cache', () => {
  it('have latents as rows with padding, and lose it outside', () => {
    const shape = { attention: mla, blockSize: 2, numLayers: 1 };
    const block = Float32Array.of(1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 0, 0, -1, -2, -3, -4, -5, 0, 0, 0, -6, -7, 0, 0);
    const rows = [1, 2, 3, 4, 5, 6, 7, -1, -2, -3, -4, -5, -6, -7];
    expect([...rowsOfBlock(block, shape)]).to.deep.equal(rows);
    const target = new Float32Array(block.length).fill(9);
    fillBlock(target, shape, Float32Array.from(rows));
    expect([...target]).to.deep.equal([...block].map((value) => (value === 0 ? 9 : value)));
  });

  it('have keys side by side by channels in panels of 16 tokens, values by tokens in panels of 16 channels', () => {
    const { attention } = gqaSpec({ num_key_value_heads: 1, head_dim: 18 });
    const shape = { attention, blockSize: 19, numLayers: 1 };
    const rows = Float32Array.from({ length: 2 * 19 * 18 }, (_, i) => i);
    const block = new Float32Array(blockFloats(shape)).fill(-1);
    fillBlock(block, shape, rows);
    const key = (token: number, channel: number): number => token * 18 + channel;
    const value = (token: number, channel: number): number => (19 + token) * 18 + channel;
    expect([...block.subarray(0, 3)]).to.deep.equal([key(0, 0), key(1, 0), key(2, 0)]);
    expect([...block.subarray(16, 18)]).to.deep.equal([key(0, 1), key(1, 1)]);
    // The second panel has three tokens, each 18 channels wide and two of padding.
    expect([...block.subarray(320, 324)]).to.deep.equal([key(16, 0), key(17, 0), key(18, 0), key(16, 1)]);
    expect([...block.subarray(320 + 54, 380)]).to.deep.equal([-1, -1, -1, -1, -1, -1]);
    expect([...block.subarray(380, 398)].slice(14)).to.deep.equal([
      value(0, 14),
      value(0, 15),
      value(1, 0),
      value(1, 1),
    ]);
    expect([...block.subarray(380 + 304, 380 + 310)]).to.deep.equal([
      ...[value(0, 16), value(0, 17), -1, -1],
      ...[value(1, 16), value(1, 17)],
    ]);
  });

  it('come back as the same rows for any widths, heads, layers and block sizes', () => {
    const attentions = fc.oneof(
      fc
        .record({ kv_lora_rank: fc.integer({ min: 1, max: 40 }), qk_rope_head_dim: fc.constantFrom(2, 4, 6) })
        .map((config) => mlaSpec(config).attention),
      fc.integer({ min: 1, max: 20 }).map((headDim) => indexedSpec({ headDim }, { kv_lora_rank: 7 }).attention),
      fc
        .record({ num_key_value_heads: fc.constantFrom(1, 2, 3), head_dim: fc.integer({ min: 1, max: 40 }) })
        .map(({ head_dim, ...config }) => gqaSpec({ ...config, head_dim: 2 * head_dim }).attention),
    );
    const sizes = fc.record({ blockSize: fc.integer({ min: 1, max: 70 }), numLayers: fc.integer({ min: 1, max: 3 }) });
    fc.assert(
      fc.property(attentions, sizes, fc.nat(), (attention, size, seed) => {
        const shape = { attention, ...size };
        const rows = randomValues(randomFrom(seed), rowFloats(shape));
        const block = new Float32Array(blockFloats(shape));
        fillBlock(block, shape, rows);
        expect(isSameBits(rowsOfBlock(block, shape), rows)).to.equal(true);
      }),
    );
  });
});
