import { expect } from 'chai';
import { KV_DTYPES } from '../../../../compute/base/kv_dtype.js';
import {
  blockBytesOf,
  cacheBlockBytes,
  cacheRowsOf,
  rowBytesPerToken,
} from '../../../../lib/model/spec/cache_layout.js';
import { gqaSpec, indexedSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';

const MLA = mlaSpec({ kv_lora_rank: 18, qk_rope_head_dim: 6 });
const GQA = gqaSpec({ num_key_value_heads: 3, head_dim: 10 });
const INDEXED = indexedSpec({ headDim: 9 }, { kv_lora_rank: 18, qk_rope_head_dim: 6 });

const wide = (width: number) => ({ width, isNarrow: false });
const narrow = (width: number) => ({ width, isNarrow: true });

describe('rows of a KV cache', () => {
  it('are one lane of latent and key for MLA, and an indexer’s key behind them; keys and values of each head for GQA', () => {
    expect(cacheRowsOf(MLA.attention)).to.deep.equal({ numLanes: 1, rows: [wide(18), narrow(6)] });
    const indexed = [wide(18), narrow(6), wide(9)];
    expect(cacheRowsOf(INDEXED.attention)).to.deep.equal({ numLanes: 1, rows: indexed });
    expect(cacheRowsOf(GQA.attention)).to.deep.equal({ numLanes: 6, rows: [wide(10)] });
    const large = mlaSpec({ kv_lora_rank: 512, qk_rope_head_dim: 64 }).attention;
    expect(cacheRowsOf(large)).to.deep.equal({ numLanes: 1, rows: [wide(512), wide(64)] });
  });

  it('take four, two and one byte a value, and in int8 four more a row, or one where it is narrow', () => {
    const sizes = [MLA, INDEXED, GQA].map(({ attention }) =>
      KV_DTYPES.map((dtype) => rowBytesPerToken(attention, dtype)),
    );
    expect(sizes).to.deep.equal([
      [4 * 24, 2 * 24, 5 + 24],
      [4 * 33, 2 * 33, 9 + 33],
      [4 * 60, 2 * 60, 6 * 14],
    ]);
  });

  it('are padded to four channels in a cache, but latents that aren’t f32, and heads in int8 to two tokens', () => {
    const sizes = [MLA, INDEXED, GQA].map(({ attention }) =>
      KV_DTYPES.map((dtype) => cacheBlockBytes(attention, dtype, 5)),
    );
    expect(sizes).to.deep.equal([
      [5 * 4 * 28, 5 * 2 * 24, 5 * (5 + 24)],
      [5 * 4 * 40, 5 * 2 * 33, 5 * (9 + 33)],
      [5 * 4 * 72, 5 * 2 * 72, 6 * 6 * 16],
    ]);
  });

  it('in int8 are at most 0.27 of those in f32 for heads and latents of 64 channels and more', () => {
    const latents = [mlaSpec({ kv_lora_rank: 48, qk_rope_head_dim: 16 }), mlaSpec({ kv_lora_rank: 512, qk_rope_head_dim: 64 })]; // prettier-ignore
    for (const { attention } of [64, 128, 256].map((head_dim) => gqaSpec({ head_dim })).concat(latents)) {
      for (const bytes of [cacheBlockBytes, rowBytesPerToken]) {
        expect(bytes(attention, 'int8', 16) / bytes(attention, 'f32', 16)).to.be.at.most(0.27);
      }
    }
  });

  it('are a block’s bytes with its states behind them', () => {
    const [layer] = GQA.layers;
    const conv = { ...layer!, mixer: { kind: 'short_conv', width: 3 } } as typeof layer;
    const spec = { ...GQA, hiddenSize: 10, layers: [layer!, conv!, layer!] };
    expect(blockBytesOf(spec, 'int8', 5)).to.deep.equal({ rows: 2 * 5 * 6 * 14, state: 4 * 2 * 12 });
    expect(blockBytesOf({ ...spec, layers: [layer!] }, 'f32', 5)).to.deep.equal({ rows: 5 * 6 * 40, state: 0 });
  });
});
