/** Attention layers as kernels over caches of bf16 and int8: against the float64 reference over what such a cache holds, and against themselves under other schedules. */
import { expect } from 'chai';
import fc from 'fast-check';
import type { KvDtype } from '../../../../compute/base/kv_dtype.js';
import { cacheRowsOf } from '../../../../lib/model/spec/cache_layout.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import {
  CASES,
  gqaSpec,
  HIDDEN,
  INDEXED_CASES,
  indexedSpec,
  inTurn,
  mixed,
  mlaSpec,
  randomWeights,
  reference,
  runSchedule,
  sequencesFrom,
  type AttentionCase,
  type Schedule,
  type Sequence,
} from '../../../kit/kernels/attention_cases.js';
import { KernelAttentionLayer } from '../../../kit/kernels/kernel_attention.js';
import { normRef, type WeightsRef } from '../../../refs/attention_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';
import { storedBytesRef, storedFloatsRef, type TokenRowsRef } from '../../../refs/stored_cache_ref.js';

const WIDE_KEY = { kv_lora_rank: 48, q_lora_rank: 96, qk_rope_head_dim: 32, v_head_dim: 32 };

const ALL: readonly AttentionCase[] = [
  ...CASES,
  ...INDEXED_CASES,
  { name: 'MLA whose rotated key has a scale of its own, auto', spec: mlaSpec(WIDE_KEY), form: 'auto' },
  { name: 'MLA of 18 heads, absorbed', spec: mlaSpec({ num_attention_heads: 18 }), form: 'absorbed' },
  { name: 'MLA with all of that, absorbed', spec: indexedSpec({ headDim: 48 }, WIDE_KEY), form: 'absorbed' },
  { name: 'GQA of whole vectors', spec: gqaSpec({ head_dim: 32 }), form: 'auto' },
];

const withInputNorm = (spec: ModelSpec): WeightsRef => ({
  ...randomWeights(spec),
  input_layernorm: randomValues(randomFrom(12), HIDDEN).map((value) => 1 + value),
});

/** What the attention itself sees. */
const normed = (sequence: Sequence, weights: WeightsRef, spec: ModelSpec): Sequence => {
  const rows = Array.from({ length: sequence.length }, (_, t) => sequence.x.subarray(t * HIDDEN, (t + 1) * HIDDEN));
  const x = rows.flatMap((row) => normRef(weights.input_layernorm!, [...row], spec.normEps));
  return { ...sequence, x: Float32Array.from(x) };
};

/** Outputs of sequences, and the bytes of their tokens' rows, one after the other. */
async function run(layer: KernelAttentionLayer, sequences: readonly Sequence[], schedule: Schedule, cacheOf: CacheOf) {
  const cache = layer.createCache(cacheOf.blockSize, cacheOf.dtype);
  const outputs = await runSchedule(sequences, schedule, (x, parts) => layer.forward(x, parts, cache));
  const rows = await Promise.all(
    sequences.map(({ length }, i) => {
      const blocks = Array.from({ length: 80 }, (_, block) => block * sequences.length + i);
      return cache.readRows(blocks, 1, 0, length);
    }),
  );
  cache.dispose();
  return { outputs, rows };
}

/** How far products of 16 bits are from those of floats, beside values of a few units. */
const NEAR = { bf16: 2e-5, int8: 3e-3 };

interface CacheOf {
  readonly blockSize: number;
  readonly dtype: KvDtype;
}

/** Of a sequence, from its rows in a cache of floats. */
function tokensOf({ attention }: ModelSpec, rows: Uint8Array<ArrayBuffer>): TokenRowsRef[] {
  const { numLanes, rows: ofLane } = cacheRowsOf(attention);
  const all = Array.from({ length: numLanes }, () => ofLane).flat();
  const numFloats = all.reduce((sum, { width }) => sum + width, 0);
  const floats = new Float32Array(rows.buffer);
  return Array.from({ length: floats.length / numFloats }, (_, t) => ({
    floats: [...floats.subarray(t * numFloats, (t + 1) * numFloats)],
    rows: all,
  }));
}

for (const dtype of ['bf16', 'int8'] as const) {
  describe(`attention layer kernels over a cache of ${dtype}`, () => {
    for (const { name, spec, form } of ALL) {
      describe(name, () => {
        const weights = withInputNorm(spec);
        let layer: KernelAttentionLayer;

        before(() => (layer = new KernelAttentionLayer(spec, weights, form)));
        after(() => {
          layer.dispose();
          expect(layer.memory.usedBytes, 'bytes left behind').to.equal(0);
        });

        it('agrees with the float64 reference over rows that are stored as the reference says', async () => {
          const sequences = sequencesFrom(1, [1, 2, 19, 75]);
          const exact = new KernelAttentionLayer(spec, weights, form);
          const floats = await run(exact, sequences, inTurn(sequences), { blockSize: 16, dtype: 'f32' });
          exact.dispose();
          const tokens = floats.rows.map((rows) => tokensOf(spec, rows));
          const expected = sequences.map((each, i) => {
            const cached = tokens[i]!.map((token) => storedFloatsRef(dtype, token));
            const added = reference(normed(each, weights, spec), weights, spec, cached);
            return added.map((value, at) => value + each.x[at]!);
          });
          for (const blockSize of [1, 3, 16]) {
            const got = await run(layer, sequences, mixed(sequences, blockSize), { blockSize, dtype });
            got.outputs.forEach((output, i) =>
              expect(largestDifference(output, expected[i]!)).to.be.below(NEAR[dtype]),
            );
            got.rows.forEach((rows, i) => {
              const bytes = tokens[i]!.map((token) => storedBytesRef(dtype, token));
              expect(Buffer.compare(rows, Buffer.concat(bytes)), `rows of sequence ${i}`).to.equal(0);
            });
          }
        });

        it('has the same bits for any chunks, batch mixes, block sizes and tiles', async () => {
          const blockSizes = fc.constantFrom(1, 2, 3, 16, 19, 40);
          const sizes = fc.array(fc.integer({ min: 1, max: 78 }), { minLength: 1, maxLength: 4 });
          await fc.assert(
            fc.asyncProperty(
              fc.nat(),
              sizes,
              blockSizes,
              fc.constantFrom(2, 4, 6),
              async (seed, lengths, size, tile) => {
                const sequences = sequencesFrom(seed, lengths);
                layer.memory.kernels.setTile(2);
                const alone = await run(layer, sequences, inTurn(sequences), { blockSize: 16, dtype });
                layer.memory.kernels.setTile(tile);
                const together = await run(layer, sequences, mixed(sequences, seed + 1), { blockSize: size, dtype });
                sequences.forEach((_, i) => {
                  expect(isSameBits(together.outputs[i]!, alone.outputs[i]!), `sequence ${i}`).to.equal(true);
                  expect(Buffer.compare(together.rows[i]!, alone.rows[i]!), `rows of sequence ${i}`).to.equal(0);
                });
              },
            ),
            { numRuns: 20 },
          );
        });
      });
    }
  });
}
