import { expect } from 'chai';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { InternalError } from '../../../../base/coded_error.js';
import type { Decoder, SequencePart } from '../../../../lib/model/decoder/decoder.js';
import type { KernelDecoder } from '../../../../lib/model/kernels/kernel_decoder.js';
import { loadKernelDecoder } from '../../../../lib/model/kernels/load_kernels.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { DenseReader } from '../../../../lib/model/weights/weight_reader.js';
import { openCheckpoint } from '../../../../lib/weights/checkpoint.js';
import { Fingerprint } from '../../../../lib/weights/fingerprint.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { randomFrom } from '../../../refs/random.js';

interface Loaded {
  readonly spec: ModelSpec;
  readonly memory: KernelMemory;
  readonly decoder: KernelDecoder;
}

async function load(name: string, memory = new KernelMemory()): Promise<Loaded> {
  const dir = tinyModel(name);
  const { config, configBytes } = await readModelFiles(dir);
  const spec = modelSpecOf(config);
  const checkpoint = await openCheckpoint(dir);
  try {
    const reader = new DenseReader(checkpoint, { fingerprint: new Fingerprint([configBytes, ...checkpoint.headers]) });
    const residence = { compute: 'kernels', experts: 'bf16', dense: 'auto' } as const;
    const options = { spec, mla: 'auto', blockSize: 4, residence } as const;
    return { spec, memory, decoder: await loadKernelDecoder(reader, options, memory) };
  } finally {
    await checkpoint.close();
  }
}

/** All layers, with nothing from routed experts. */
async function step(
  decoder: Decoder,
  spec: ModelSpec,
  tokenIds: Int32Array,
  parts: readonly SequencePart[],
): Promise<number> {
  const states = decoder.begin({ tokenIds, parts });
  for (const [layer, { kind }] of spec.layers.entries()) {
    states.attend(layer);
    if (kind === 'dense') states.feedForward(layer);
    else {
      const tokens = states.moe(layer);
      await tokens.route();
      const rows = await tokens.rows();
      tokens.runShared();
      tokens.add(rows.fill(0));
    }
  }
  const [row] = await states.logits([tokenIds.length - 1]);
  const [token] = row!.best(1);
  states.dispose();
  return token!;
}

describe('decoder of the kernels', function () {
  this.timeout(60_000);

  for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
    it(`${name}: its memory doesn't grow over 10,000 steps of all sizes, once it has seen the largest`, async () => {
      const { decoder, spec, memory } = await load(name);
      const random = randomFrom(7);
      const weights = memory.usedBytes;
      let reserved = 0;
      let used = 0;
      for (let i = 0; i < 10_000; i++) {
        // Two sequences, one that decodes and one whose prompt goes on.
        const [first, second] = [Math.floor(random() * 60), Math.floor(random() * 40)];
        const numPrompt = i < 10 ? 20 : 1 + Math.floor(random() * (i % 100 === 0 ? 20 : 2));
        const parts = [
          { rowStart: 0, numTokens: 1, position: i < 10 ? 59 : first, blocks: range(15), isPrompt: false },
          { rowStart: 1, numTokens: numPrompt, position: i < 10 ? 40 : second, blocks: range(15, 15), isPrompt: true },
        ];
        const tokenIds = Int32Array.from({ length: 1 + numPrompt }, () => random() * spec.vocabSize);
        await step(decoder, spec, tokenIds, parts);
        if (i === 10) [used, reserved] = [memory.usedBytes, memory.reservedBytes];
      }
      expect([memory.usedBytes, memory.reservedBytes]).to.deep.equal([used, reserved]);
      decoder.cache.free(range(30));
      expect(decoder.cache.numBlocks).to.equal(0);
      expect(memory.usedBytes - memory.scratchBytes).to.equal(weights);
      decoder.dispose();
      expect(memory.usedBytes).to.equal(0);
    });
  }

  it('tokens and tables that cannot be are refused before a kernel sees them, and the next step is as before', async () => {
    const { decoder, spec } = await load('tiny-qwen3-moe');
    const part = { rowStart: 0, numTokens: 1, position: 0, blocks: [0], isPrompt: false };
    const expected = await step(decoder, spec, Int32Array.of(5), [part]);
    const wrong: readonly [number, Partial<SequencePart>][] = [
      [-1, {}],
      [spec.vocabSize, {}],
      [5, { position: 4 }],
      [5, { blocks: [-1] }],
      [5, { blocks: [0.5] }],
      [5, { blocks: [] }],
      [5, { numTokens: 2 }],
      [5, { rowStart: 1 }],
      [5, { position: -1 }],
    ];
    for (const [token, change] of wrong) {
      const error = await errorOf(InternalError, () =>
        decoder.begin({ tokenIds: Int32Array.of(token), parts: [{ ...part, ...change }] }),
      );
      expect(error.code, JSON.stringify(change)).to.equal('INTERNAL');
      expect(await step(decoder, spec, Int32Array.of(5), [part])).to.equal(expected);
    }
    decoder.dispose();
  });

  it('a memory that is too small is OUT_OF_MEMORY while it loads', async () => {
    const error = await errorOf(ExpertError, () => load('tiny-deepseek-v3', new KernelMemory(300 * 1024)));
    expect(error.code).to.equal('OUT_OF_MEMORY');
  });
});

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);
