import { expect } from 'chai';
import fc from 'fast-check';
import { KV_DTYPES } from '../../../../compute/base/kv_dtype.js';
import {
  blockBytes,
  fillBlock,
  fillTokens,
  rowBytes,
  rowsOfBlock,
  rowsOfTokens,
} from '../../../../lib/model/kernels/block_layout.js';
import { gqaSpec, indexedSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';
import { randomFrom } from '../../../refs/random.js';

const mla = mlaSpec({ kv_lora_rank: 5, qk_rope_head_dim: 2 }).attention;

describe('blocks of the kernels’ cache', () => {
  it('have latents as rows with padding, and lose it outside', () => {
    const shape = { attention: mla, dtype: 'f32', blockSize: 2, numLayers: 1 } as const;
    const block = Float32Array.of(1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 0, 0, -1, -2, -3, -4, -5, 0, 0, 0, -6, -7, 0, 0);
    const rows = Float32Array.of(1, 2, 3, 4, 5, 6, 7, -1, -2, -3, -4, -5, -6, -7);
    expect(floatsOf(rowsOfBlock(bytesOf(block), shape))).to.deep.equal(rows);
    const target = new Float32Array(block.length).fill(9);
    fillBlock(bytesOf(target), shape, bytesOf(rows));
    expect([...target]).to.deep.equal([...block].map((value) => (value === 0 ? 9 : value)));
  });

  it('have latents of other types as they are outside', () => {
    const { attention } = indexedSpec({ headDim: 3 }, { kv_lora_rank: 5, qk_rope_head_dim: 2 });
    for (const dtype of ['bf16', 'int8'] as const) {
      const shape = { attention, dtype, blockSize: 3, numLayers: 2 };
      const rows = randomBytes(rowBytes(shape), 1);
      const block = new Uint8Array(blockBytes(shape));
      fillBlock(block, shape, rows);
      expect(block).to.deep.equal(rows);
    }
  });

  it('have heads in int8 behind the parameters of all tokens, with the codes of two channels of a key or of two tokens side by side', () => {
    const { attention } = gqaSpec({ num_key_value_heads: 1, head_dim: 2 });
    const shape = { attention, dtype: 'int8', blockSize: 3, numLayers: 1 } as const;
    const lane = (first: number): number[][] =>
      [0, 1, 2].map((token) => [first + token, 10, 20, 30, 40 + first + token, 60 + first + token]);
    const block = new Uint8Array(blockBytes(shape)).fill(99);
    fillBlock(block, shape, Uint8Array.from([...lane(0), ...lane(4)].flat()));
    const words = (first: number): number[] => lane(first).flatMap((row) => row.slice(0, 4));
    // Four channels wide, and with room for a fourth token.
    const nothing = [99, 99];
    expect([...block]).to.deep.equal([
      ...[...words(0), ...nothing, ...nothing],
      ...[40, 60, 41, 61, 42, 62, ...nothing, ...nothing, ...nothing, ...nothing, ...nothing],
      ...[...words(4), ...nothing, ...nothing],
      ...[44, 45, 64, 65, ...nothing, ...nothing, 46, 99, 66, 99, ...nothing, ...nothing],
    ]);
  });

  it('have keys side by side by channels in panels of 16 tokens, values by tokens in panels of 16 channels', () => {
    const { attention } = gqaSpec({ num_key_value_heads: 1, head_dim: 18 });
    const shape = { attention, dtype: 'f32', blockSize: 19, numLayers: 1 } as const;
    const rows = Float32Array.from({ length: 2 * 19 * 18 }, (_, i) => i);
    const block = new Float32Array(blockBytes(shape) / 4).fill(-1);
    fillBlock(bytesOf(block), shape, bytesOf(rows));
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
    const sizes = fc.record({
      dtype: fc.constantFrom(...KV_DTYPES),
      blockSize: fc.integer({ min: 1, max: 70 }),
      numLayers: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(attentions, sizes, fc.nat(), (attention, size, seed) => {
        const shape = { attention, ...size };
        const rows = randomBytes(rowBytes(shape), seed);
        const block = new Uint8Array(blockBytes(shape));
        fillBlock(block, shape, rows);
        expect(Buffer.compare(rowsOfBlock(block, shape), rows)).to.equal(0);
      }),
    );
  });

  it('take some tokens’ rows of one layer from anywhere, and nothing of others', () => {
    const { attention } = gqaSpec({ num_key_value_heads: 2, head_dim: 6 });
    for (const dtype of KV_DTYPES) {
      const shape = { attention, dtype, blockSize: 21, numLayers: 2 };
      const block = new Uint8Array(blockBytes(shape));
      fillBlock(block, shape, randomBytes(rowBytes(shape), 1));
      const tokens = { layer: 1, start: 14, count: 5 };
      const size = (rowBytes(shape) / 42) * 5;
      const before = rowsOfBlock(block, shape);
      const own = randomBytes(size + 1, 2).subarray(1);
      fillTokens(block, shape, tokens, own);
      const got = new Uint8Array(size);
      rowsOfTokens(block, shape, tokens, got);
      expect(got).to.deep.equal(own.slice());
      const laneBytes = size / 5 / 4; // of a token
      const after = rowsOfBlock(block, shape);
      for (let row = 0; row < after.length / laneBytes; row++) {
        const [lane, token] = [Math.floor(row / 21), row % 21];
        const isOwn = lane >= 4 && token >= 14 && token < 19;
        const at = isOwn ? ((token - 14) * 4 + lane - 4) * laneBytes : row * laneBytes;
        const expected = (isOwn ? own : before).slice(at, at + laneBytes);
        expect(after.slice(row * laneBytes, (row + 1) * laneBytes), `${dtype} ${row}`).to.deep.equal(expected);
      }
    }
  });
});

const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer);
const floatsOf = (bytes: Uint8Array<ArrayBuffer>): Float32Array => new Float32Array(bytes.buffer);

function randomBytes(length: number, seed: number): Uint8Array {
  const random = randomFrom(seed);
  return Uint8Array.from({ length }, () => Math.floor(256 * random()));
}
