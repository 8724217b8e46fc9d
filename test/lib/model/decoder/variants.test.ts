/** What families add around attention and networks, in both decoders, against a float64 reference of a whole model. */
import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { copyFloatRows } from '../../../../base/float_rows.js';
import { selectBackend, tensorMemory } from '../../../../compute/tfjs/tf.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { WeightLoader } from '../../../../compute/wasm/memory/weight_loader.js';
import type { Decoder, SequencePart } from '../../../../lib/model/decoder/decoder.js';
import { loadKernelDecoder } from '../../../../lib/model/kernels/load_kernels.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { tensorShapesOf } from '../../../../lib/model/spec/tensor_shapes.js';
import { loadTensorDecoder } from '../../../../lib/model/tensors/load_tensors.js';
import { DenseReader } from '../../../../lib/model/weights/weight_reader.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { gqaSpec, gqaVariant, indexedSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';
import { writeSafetensors } from '../../../kit/model/safetensors_writer.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import type { WeightsRef } from '../../../refs/attention_ref.js';
import { decoderRef } from '../../../refs/decoder_ref.js';
import { isSameBits, largestDifference, randomFrom, randomValues } from '../../../refs/random.js';

const TOKENS = [3, 7, 0, 2, 2, 5, 1, 6, 4, 3, 3, 0];

/** Three layers, of which the second has experts. */
const threeLayers = (spec: ModelSpec): ModelSpec => {
  const [{ mixer }] = spec.layers as [ModelSpec['layers'][number]];
  const full = { kind: 'attention', window: null } as const;
  return {
    ...spec,
    layers: [
      { kind: 'dense', intermediateSize: 24, mixer },
      { kind: 'moe', mixer: full },
      { kind: 'dense', intermediateSize: 40, mixer },
    ],
  };
};

const CASES: Readonly<Record<string, ModelSpec>> = {
  'what most families have': gqaSpec({}),
  'multipliers, with GQA': { ...gqaSpec({}), multipliers: { embedding: 12, residual: 0.22, logits: 1 / 6 } },
  'multipliers, with MLA': { ...mlaSpec({}), multipliers: { embedding: 3, residual: 0.4, logits: 0.25 } },
  'LayerNorm and biases everywhere': {
    ...gqaVariant({ hasQkvBias: true, hasOutputBias: true, qkNorm: null }),
    ...{ norm: 'layer', hasHeadBias: true, multipliers: { embedding: 1, residual: 1, logits: 2 } },
  },
  'norms stored as differences from 1': { ...gqaVariant({ hasOutputGate: true }), normOffset: 1 },
  'an embedding that is the head too, with a bias': { ...gqaSpec({}), tieWordEmbeddings: true, hasHeadBias: true },
  'windows in some layers, sinks in all': gqaVariant({ hasSinks: true }, { window: 3 }),
};

/** By compute: what it runs. */
const CASES_OF: Readonly<Record<'kernels' | 'tensors', Readonly<Record<string, ModelSpec>>>> = {
  kernels: {
    ...CASES,
    'indexers, of which one serves the next layer, in another memory': indexedSpec({
      topk: 3,
      isOwn: [true, false, true],
    }),
  },
  tensors: CASES,
};

/** Of the kernels, over two memories. */
const SPREAD = { layers: [0, 1, 1], embedding: 0, head: 1, reservedBytes: [0, 0] };

function randomTensors(spec: ModelSpec): { tensors: Parameters<typeof writeSafetensors>[0]; weights: WeightsRef } {
  const random = randomFrom(5);
  const made = [...tensorShapesOf(spec)].map(({ name, kind, shape }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = randomValues(random, size, kind === 'embedding' ? 1 : 0.4);
    return { name, shape, values: kind === 'norm' ? values.map((value) => 1 - spec.normOffset + value) : values };
  });
  return {
    tensors: made.map(({ name, shape, values }) => ({
      name,
      dtype: 'F32',
      shape,
      bytes: new Uint8Array(values.buffer),
    })),
    weights: Object.fromEntries(made.map(({ name, values }) => [name, values])),
  };
}

/** Logits of the tokens from `position` on; experts give back the rows that they get. */
async function step(
  decoder: Decoder,
  spec: ModelSpec,
  tokens: readonly number[],
  position: number,
): Promise<Float32Array[]> {
  const part: SequencePart = {
    rowStart: 0,
    numTokens: tokens.length,
    position,
    blocks: [4, 0, 9, 2],
    isPrompt: position === 0,
  };
  const states = decoder.begin({ tokenIds: Int32Array.from(tokens), parts: [part] });
  for (const [layer, { kind }] of spec.layers.entries()) {
    await states.attend(layer);
    if (kind === 'dense') await states.feedForward(layer);
    else {
      const experts = states.moe(layer);
      await experts.route();
      const room = experts.room();
      copyFloatRows(await experts.rows(), room);
      experts.add(room);
    }
  }
  const rows = await states.logits(tokens.map((_, row) => row));
  const values = rows.map((row) => row.values());
  states.dispose();
  return values;
}

describe('decoders of all variants', () => {
  before(() => selectBackend('wasm'));

  for (const compute of ['kernels', 'tensors'] as const) {
    for (const [name, base] of Object.entries(CASES_OF[compute])) {
      it(`${compute} agree with the float64 reference, in any chunks: ${name}`, () =>
        withTempFolder(async (dir) => {
          const spec = threeLayers(base);
          const { tensors, weights } = randomTensors(spec);
          await writeFile(join(dir, 'model.safetensors'), writeSafetensors(tensors));
          const opened = await openWeights(dir, spec);
          const residence = { compute, experts: 'f32', dense: 'auto' } as const;
          const options = { spec, mla: 'absorbed', blockSize: 4, residence } as const;
          const loader = new WeightLoader();
          const memories = [new KernelMemory(), new KernelMemory()];
          // A head that is the embedding lies with it.
          const spread = spec.tieWordEmbeddings ? { ...SPREAD, head: 0 } : SPREAD;
          const before = tensorMemory().numTensors;
          const reader = new DenseReader(opened);
          const decoder =
            compute === 'kernels'
              ? await loadKernelDecoder(reader, options, memories, loader, spread)
              : await loadTensorDecoder(reader, options);
          loader.close();
          await opened.close();
          const expected = decoderRef(TOKENS, weights, spec);
          const largest = Math.max(...expected.flat().map(Math.abs));
          const whole = await step(decoder, spec, TOKENS, 0);
          whole.forEach((logits, t) => expect(largestDifference(logits, expected[t]!)).to.be.below(2e-6 * largest));
          const first = await step(decoder, spec, TOKENS.slice(0, 5), 0);
          const second = await step(decoder, spec, TOKENS.slice(5), 5);
          [...first, ...second].forEach((logits, t) => expect(isSameBits(logits, whole[t]!)).to.equal(true));
          decoder.cache.free([4, 0, 9, 2]);
          decoder.dispose();
          for (const { usedBytes } of memories) expect(usedBytes, 'bytes left behind').to.equal(0);
          expect(tensorMemory().numTensors, 'tensors left behind').to.equal(before);
        }));
    }
  }
});
