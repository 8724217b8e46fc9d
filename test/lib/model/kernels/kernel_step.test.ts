import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../../compute/base/errors.js';
import { Descriptor } from '../../../../compute/wasm/memory/descriptor.js';
import { KernelMatrix } from '../../../../compute/wasm/memory/kernel_matrix.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { GQA_LAYER, MLA_LAYER, STEP, type Layout } from '../../../../compute/wasm/memory/layouts.js';
import { InternalError } from '../../../../base/coded_error.js';
import type { SequencePart } from '../../../../lib/model/decoder/decoder.js';
import { gqaSpec, HIDDEN, mlaSpec, randomWeights } from '../../../kit/kernels/attention_cases.js';
import { KernelAttentionLayer } from '../../../kit/kernels/kernel_attention.js';
import { errorOf } from '../../../kit/rejects.js';
import { randomFrom, randomValues } from '../../../refs/random.js';

const NUM_TOKENS = 4;
const number = fc.oneof(fc.nat(6), fc.integer(), fc.constantFrom(-1, 0.5, NaN, Infinity, 2 ** 31, 2 ** 53));
const garbage: fc.Arbitrary<SequencePart> = fc.record({
  rowStart: number,
  numTokens: number,
  position: fc.oneof(fc.nat(40), number),
  blocks: fc.array(number, { maxLength: 4 }),
  isPrompt: fc.boolean(),
});

const isRight = ({ rowStart, numTokens, position, blocks }: SequencePart): boolean =>
  [rowStart, numTokens, position].every((n) => Number.isInteger(n) && n >= 0) &&
  rowStart + numTokens <= NUM_TOKENS &&
  position + numTokens <= 16 * blocks.length &&
  blocks.slice(0, Math.ceil((position + numTokens) / 16)).every((id) => Number.isSafeInteger(id) && id >= 0);

describe('steps of the kernels', () => {
  for (const [name, spec] of [
    ['MLA', mlaSpec({})],
    ['GQA', gqaSpec({})],
  ] as const) {
    it(`parts and tables that cannot be are INTERNAL errors, and never reach the memory of others: ${name}`, async () => {
      const weights = { ...randomWeights(spec), input_layernorm: new Float32Array(HIDDEN).fill(1) };
      const layer = new KernelAttentionLayer(spec, weights, 'auto');
      const cache = layer.createCache(16);
      const x = randomValues(randomFrom(1), NUM_TOKENS * HIDDEN);
      const right: SequencePart = { rowStart: 0, numTokens: NUM_TOKENS, position: 0, blocks: [1000], isPrompt: true };
      const before = layer.forward(x, [right], cache);
      await fc.assert(
        fc.asyncProperty(fc.array(garbage, { minLength: 1, maxLength: 3 }), async (parts) => {
          if (parts.every(isRight)) layer.forward(x, parts, cache);
          else expect((await errorOf(InternalError, () => layer.forward(x, parts, cache))).code).to.equal('INTERNAL');
        }),
        { numRuns: 1000, examples: [[[{ ...right, numTokens: 0, blocks: [] }]]] },
      );
      expect(layer.forward(x, [right], cache)).to.deep.equal(before);
      cache.dispose();
      layer.dispose();
      expect(layer.memory.usedBytes).to.equal(0);
    });
  }

  it('a step that has no memory left fails, and runs when there is some again', async () => {
    const spec = mlaSpec({});
    const weights = { ...randomWeights(spec), input_layernorm: new Float32Array(HIDDEN).fill(1) };
    const layer = new KernelAttentionLayer(spec, weights, 'auto', 'f32', 2 ** 20);
    const cache = layer.createCache(16);
    const part = (numTokens: number): SequencePart => {
      return { rowStart: 0, numTokens, position: 0, blocks: [...Array(64).keys()], isPrompt: true };
    };
    const x = randomValues(randomFrom(1), 600 * HIDDEN);
    const few = layer.forward(x.slice(0, 3 * HIDDEN), [part(3)], cache);
    const error = await errorOf(ExpertError, () => layer.forward(x, [part(600)], cache));
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect(layer.forward(x.slice(0, 3 * HIDDEN), [part(3)], cache)).to.deep.equal(few);
    cache.dispose();
    layer.dispose();
    expect(layer.memory.usedBytes).to.equal(0);
  });

  for (const [name, layout] of [
    ['mlaLayer', MLA_LAYER],
    ['gqaLayer', GQA_LAYER],
  ] as const) {
    it(`a step too large for any memory asks for all of it, and touches nothing: ${name}`, () => {
      const memory = new KernelMemory();
      const matrix = new KernelMatrix(memory, 1, 2 ** 12, 'f32').address;
      const values = Object.keys(layout).map((field) => [
        field,
        /^(q|k|v|output|kvUp|kvDown|qDown)$/.test(field) ? matrix : 64,
      ]);
      const layer = new Descriptor<Layout>(memory, layout, Object.fromEntries(values) as Record<string, number>);
      const none = { x: 0, parts: 0, numParts: 0, angles: 0, chosen: 0, scratch: 0, scratchBytes: 0 };
      const step = new Descriptor(memory, STEP, { ...none, numTokens: 2 ** 25 });
      expect(memory.kernels[name](layer.address, step.address) >>> 0).to.equal(2 ** 32 - 1);
    });
  }

  it('a kernel that is never content is an INTERNAL error', async () => {
    const spec = gqaSpec({});
    const weights = { ...randomWeights(spec), input_layernorm: new Float32Array(HIDDEN).fill(1) };
    const layer = new KernelAttentionLayer(spec, weights, 'auto');
    const error = await errorOf(InternalError, () => layer.step.run(() => 100));
    expect(error.code).to.equal('INTERNAL');
    layer.dispose();
  });
});
