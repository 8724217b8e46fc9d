/** Attention layers as kernels, against a float64 reference, against their TensorFlow.js forms, and against themselves under other schedules. */
import { expect } from 'chai';
import fc from 'fast-check';
import { KV_DTYPES } from '../../../../compute/base/kv_dtype.js';
import { selectBackend } from '../../../../compute/tfjs/tf.js';
import type { MlaForm, ModelSpec } from '../../../../lib/model/spec/spec.js';
import {
  CASES,
  EPS,
  gqaSpec,
  gqaVariant,
  HIDDEN,
  INDEXED_CASES,
  indexedSpec,
  inTurn,
  mixed,
  mlaSpec,
  randomWeights,
  reference,
  sequencesFrom,
  type AttentionCase,
  type Sequence,
} from '../../../kit/kernels/attention_cases.js';
import { KernelAttentionLayer, roundedWeights } from '../../../kit/kernels/kernel_attention.js';
import { TfjsAttention } from '../../../kit/kernels/tfjs_attention.js';
import { normRef, type WeightsRef } from '../../../refs/attention_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

const ALIGNED = { kv_lora_rank: 48, q_lora_rank: 96, qk_nope_head_dim: 32, qk_rope_head_dim: 16, v_head_dim: 32 };

/** Sizes with and without padding. */
const ALL: readonly AttentionCase[] = [
  ...CASES,
  ...INDEXED_CASES,
  { name: 'MLA of whole vectors, auto', spec: mlaSpec({ ...ALIGNED, num_attention_heads: 6 }), form: 'auto' },
  { name: 'GQA of whole vectors', spec: gqaSpec({ head_dim: 32 }), form: 'auto' },
];

const withInputNorm = (spec: ModelSpec): WeightsRef => ({
  ...randomWeights(spec),
  input_layernorm: randomValues(randomFrom(12), HIDDEN).map((value) => 1 + value),
});

const without = (weights: WeightsRef, name: string): WeightsRef =>
  Object.fromEntries(Object.entries(weights).filter(([other]) => other !== name));

const rowsOf = (x: Float32Array): number[][] =>
  Array.from({ length: x.length / HIDDEN }, (_, t) => [...x.subarray(t * HIDDEN, (t + 1) * HIDDEN)]);

/** What the attention itself sees. */
const normed = (sequence: Sequence, weights: WeightsRef): Sequence => ({
  ...sequence,
  x: Float32Array.from(rowsOf(sequence.x).flatMap((row) => normRef(weights.input_layernorm!, row, EPS))),
});

const plus = (x: Float32Array, y: ArrayLike<number>): number[] => Array.from(x, (value, i) => value + y[i]!);

describe('attention layer kernels', () => {
  before(() => selectBackend('wasm'));

  for (const { name, spec, form } of ALL) {
    describe(name, () => {
      const weights = withInputNorm(spec);
      let layer: KernelAttentionLayer;

      before(() => (layer = new KernelAttentionLayer(spec, weights, form)));
      after(() => {
        layer.dispose();
        expect(layer.memory.usedBytes, 'bytes left behind').to.equal(0);
      });

      it('agrees with the float64 reference', async () => {
        const sequences = sequencesFrom(1, [1, 2, 19, 33]);
        const expected = sequences.map((each) => plus(each.x, reference(normed(each, weights), weights, spec)));
        for (const blockSize of [1, 3, 16]) {
          for (const schedule of [inTurn(sequences), mixed(sequences, blockSize)]) {
            const outputs = await layer.run(sequences, schedule, blockSize);
            outputs.forEach((output, i) => expect(largestDifference(output, expected[i]!)).to.be.below(2e-5));
          }
        }
      });

      if (!INDEXED_CASES.some((each) => each.spec === spec)) {
        it('agrees with its TensorFlow.js form', async () => {
          const tfjs = await TfjsAttention.load(spec, without(weights, 'input_layernorm'), form);
          const sequences = sequencesFrom(5, [1, 40, 70]);
          const inputs = sequences.map((each) => normed(each, weights));
          const expected = await tfjs.run(inputs, mixed(sequences, 1), 16);
          const outputs = await layer.run(sequences, mixed(sequences, 1), 16);
          outputs.forEach((output, i) => {
            const values = plus(sequences[i]!.x, expected[i]!);
            const largest = Math.max(...values.map(Math.abs));
            expect(largestDifference(output, values)).to.be.below(1e-5 * largest);
          });
          tfjs.dispose();
        });
      }

      it('has the same bits for any chunks, batch mixes, block sizes and tiles', async () => {
        const blockSizes = fc.constantFrom(1, 2, 3, 16, 19, 40);
        const tiles = fc.constantFrom(2, 4, 6);
        const sizes = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 4 });
        await fc.assert(
          fc.asyncProperty(fc.nat(), sizes, blockSizes, tiles, async (seed, lengths, blockSize, tile) => {
            const sequences = sequencesFrom(seed, lengths);
            layer.memory.kernels.setTile(2);
            const alone = await layer.run(sequences, inTurn(sequences), 16);
            layer.memory.kernels.setTile(tile);
            const together = await layer.run(sequences, mixed(sequences, seed + 1), blockSize);
            together.forEach((output, i) => expect(isSameBits(output, alone[i]!), `sequence ${i}`).to.equal(true));
          }),
          { numRuns: 30 },
        );
      });

      it('a step that runs again over the same positions gives the same bits', async () => {
        const sequences = sequencesFrom(4, [9, 14]);
        const once = await layer.run(sequences, mixed(sequences, 5), 3);
        const twice = await layer.run(sequences, mixed(sequences, 5), 3, 2);
        once.forEach((output, i) => expect(isSameBits(output, twice[i]!)).to.equal(true));
      });
    });
  }

  for (const dtype of KV_DTYPES) {
    for (const { name, spec, form } of [
      { name: 'MLA, naive', spec: mlaSpec({}), form: 'naive' as const },
      { name: 'MLA, absorbed', spec: mlaSpec({}), form: 'absorbed' as const },
      { name: 'GQA', spec: gqaSpec({}), form: 'auto' as const },
    ]) {
      it(`computes with resident weights as they are rounded: ${name}, ${dtype}`, async () => {
        const weights = withInputNorm(spec);
        const layer = new KernelAttentionLayer(spec, weights, form, dtype);
        const held = roundedWeights(spec, weights, dtype);
        const sequences = sequencesFrom(7, [21]);
        const [output] = await layer.run(sequences, mixed(sequences, 1), 3);
        const expected = plus(sequences[0]!.x, reference(normed(sequences[0]!, held), held, spec));
        expect(largestDifference(output!, expected)).to.be.below(1e-5);
        layer.dispose();
      });
    }
  }

  it('naive and absorbed differ in rounding only, and auto is naive for prompts and absorbed for generated tokens', async () => {
    const spec = mlaSpec({});
    const weights = withInputNorm(spec);
    const layers = (['naive', 'absorbed', 'auto'] as const).map(
      (form) => new KernelAttentionLayer(spec, weights, form),
    );
    const sequences = sequencesFrom(3, [20, 31]).map((sequence) => ({ ...sequence, promptLength: 12 }));
    const [n, a, both] = await Promise.all(layers.map((layer) => layer.run(sequences, inTurn(sequences), 16)));
    sequences.forEach((_, i) => {
      expect(largestDifference(n![i]!, a![i]!)).to.be.above(0).and.below(1e-5);
      expect(isSameBits(both![i]!.subarray(0, 12 * HIDDEN), n![i]!.subarray(0, 12 * HIDDEN))).to.equal(true);
      expect(isSameBits(both![i]!.subarray(12 * HIDDEN), a![i]!.subarray(12 * HIDDEN))).to.equal(true);
    });
    for (const layer of layers) layer.dispose();
  });

  it('many tokens in the absorbed form are as good as few', async () => {
    const spec = mlaSpec({});
    const layer = new KernelAttentionLayer(spec, withInputNorm(spec), 'absorbed');
    const sequences = sequencesFrom(8, [60, 50, 3]).map((each) => ({ ...each, promptLength: each.length }));
    const whole = await layer.run(sequences, [sequences.map((each, i) => [i, each.length] as const)], 16);
    const single = sequences.flatMap((each, i) => Array.from({ length: each.length }, () => [[i, 1] as const]));
    const oneByOne = await layer.run(sequences, single, 16);
    whole.forEach((output, i) => expect(isSameBits(output, oneByOne[i]!)).to.equal(true));
    layer.dispose();
  });

  it('windows and sinks change GQA as the definition says', async () => {
    const sequences = sequencesFrom(9, [25, 13]);
    const run = async (window: number | null, sink?: number): Promise<Float32Array[]> => {
      const spec = gqaVariant({ hasSinks: sink !== undefined }, { window });
      const weights = {
        ...withInputNorm(gqaSpec({})),
        ...(sink !== undefined && { sinks: new Float32Array(6).fill(sink) }),
      };
      const layer = new KernelAttentionLayer(spec, weights, 'auto');
      const outputs = await layer.run(sequences, mixed(sequences, 2), 3);
      layer.dispose();
      return outputs;
    };
    const plain = await run(null);
    const wide = await run(25);
    const widest = await run(Number.MAX_SAFE_INTEGER);
    const narrow = await run(6);
    const none = await run(null, -Infinity);
    const all = await run(null, 1e4);
    plain.forEach((output, i) => {
      for (const same of [wide, widest, none]) expect(isSameBits(same[i]!, output)).to.equal(true);
      const [early, late] = [6 * HIDDEN, output.length];
      expect(isSameBits(narrow[i]!.subarray(0, early), output.subarray(0, early))).to.equal(true);
      expect(isSameBits(narrow[i]!.subarray(early, late), output.subarray(early, late))).to.equal(false);
      expect(isSameBits(all[i]!, sequences[i]!.x)).to.equal(true);
    });
  });

  it('NaN in one sequence stays there', async () => {
    for (const spec of [mlaSpec({}), gqaSpec({})]) {
      const layer = new KernelAttentionLayer(spec, withInputNorm(spec), 'auto');
      const sequences = sequencesFrom(10, [17, 15, 12]);
      const clean = await layer.run(sequences, mixed(sequences, 3), 3);
      sequences[1]!.x.fill(NaN, 5 * HIDDEN, 5 * HIDDEN + 1);
      const spoilt = await layer.run(sequences, mixed(sequences, 3), 3);
      for (const i of [0, 2]) expect(isSameBits(spoilt[i]!, clean[i]!)).to.equal(true);
      expect(isSameBits(spoilt[1]!.subarray(0, 5 * HIDDEN), clean[1]!.subarray(0, 5 * HIDDEN))).to.equal(true);
      expect(spoilt[1]!.subarray(5 * HIDDEN).every(Number.isNaN)).to.equal(true);
      layer.dispose();
    }
  });

  it('a step without tokens changes nothing', () => {
    for (const spec of [mlaSpec({}), gqaSpec({})]) {
      const layer = new KernelAttentionLayer(spec, withInputNorm(spec), 'auto');
      const cache = layer.createCache(16);
      expect(layer.forward(new Float32Array(), [], cache)).to.have.length(0);
      expect(cache.numBlocks).to.equal(0);
      layer.dispose();
    }
  });

  it('a first step of any size writes nowhere but into what it asked for', () => {
    const shapes: readonly [ModelSpec, MlaForm][] = [
      [mlaSpec({}), 'naive'],
      [mlaSpec({}), 'absorbed'],
      [mlaSpec(ALIGNED), 'absorbed'],
      [indexedSpec({}), 'naive'],
      [indexedSpec({ numHeads: 33, topk: 40 }), 'absorbed'],
      [gqaSpec({}), 'auto'],
      [gqaVariant({ hasQkvBias: true, hasOutputBias: true, qkNorm: 'vector', clip: 1 }), 'auto'],
      [gqaVariant({}, { window: 6 }), 'auto'],
      [gqaVariant({ numKvHeads: 6, hasSinks: true }, { window: 30 }), 'auto'],
    ];
    for (const [spec, form] of shapes) {
      for (const [position, numTokens] of [
        [0, 1],
        [0, 7],
        [61, 1],
        [30, 33],
        [5, 90],
      ] as const) {
        const layer = new KernelAttentionLayer(spec, withInputNorm(spec), form);
        const cache = layer.createCache(3);
        const blocks = [...Array(40).keys()];
        layer.forward(
          new Float32Array(numTokens * HIDDEN).fill(1),
          [{ rowStart: 0, numTokens, position, blocks, isPrompt: true }],
          cache,
        );
        cache.dispose();
        layer.dispose();
      }
    }
  });

  it('thousands of steps take no further memory', () => {
    for (const spec of [mlaSpec({}), gqaSpec({})]) {
      const layer = new KernelAttentionLayer(spec, withInputNorm(spec), 'auto');
      const cache = layer.createCache(16);
      const x = randomValues(randomFrom(1), 3 * HIDDEN);
      const forward = (position: number): Float32Array =>
        layer.forward(
          x,
          [{ rowStart: 0, numTokens: 3, position, blocks: [0, 1, 2, 3, 4, 5, 6], isPrompt: false }],
          cache,
        );
      forward(100);
      const { usedBytes, reservedBytes } = layer.memory;
      for (let i = 0; i < 2000; i++) forward(i % 101);
      expect(layer.memory).to.include({ usedBytes, reservedBytes });
      layer.dispose();
    }
  });

  it('weights that are missing or of another shape are refused with both shapes', () => {
    const spec = gqaSpec({});
    const weights = withInputNorm(spec);
    expect(() => new KernelAttentionLayer(spec, without(weights, 'q_norm'), 'auto')).to.throw(
      /^INVALID_MODEL_CONFIG: .*q_norm.* is missing.*\[10\]/,
    );
    const short = { ...weights, k_norm: new Float32Array(9) };
    expect(() => new KernelAttentionLayer(spec, short, 'auto')).to.throw(
      /k_norm is \[9\], and config.json implies \[10\]/,
    );
    const wrong = { ...weights, sinks: new Float32Array(5) };
    expect(() => new KernelAttentionLayer(gqaVariant({ hasSinks: true }), wrong, 'auto')).to.throw(
      /sinks is \[5\].*\[6\]/,
    );
  });
});
