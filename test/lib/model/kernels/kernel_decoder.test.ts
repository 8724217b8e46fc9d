import { expect } from 'chai';
import { ExpertError } from '../../../../compute/base/errors.js';
import { WeightLoader } from '../../../../compute/wasm/memory/weight_loader.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { PLAIN_KERNELS } from '../../../../compute/wasm/memory/kernel_settings.js';
import { padded } from '../../../../compute/wasm/memory/resident_dtype.js';
import { InternalError } from '../../../../base/coded_error.js';
import type { Decoder, SequencePart } from '../../../../lib/model/decoder/decoder.js';
import type { KernelDecoder } from '../../../../lib/model/kernels/kernel_decoder.js';
import { loadKernelDecoder } from '../../../../lib/model/kernels/load_kernels.js';
import { modelSpecOf } from '../../../../lib/model/families/registry.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { denseSizesOf, type DenseSizes } from '../../../../lib/model/weights/dense_sizes.js';
import { unspread, type Spread } from '../../../../lib/model/weights/spread.js';
import { DenseReader } from '../../../../lib/model/weights/weight_reader.js';
import { openWeights } from '../../../../lib/model/stored/model_weights.js';
import { readModelFiles } from '../../../../lib/weights/model_files.js';
import { smallestSpread } from '../../../kit/engine/small_memories.js';
import { startCrew } from '../../../kit/kernels/crews.js';
import { tinyModel } from '../../../kit/paths.js';
import { errorOf } from '../../../kit/rejects.js';
import { randomFrom } from '../../../refs/random.js';

interface Loaded {
  readonly spec: ModelSpec;
  readonly sizes: DenseSizes;
  readonly spread: Spread;
  readonly memories: readonly KernelMemory[];
  readonly memory: KernelMemory;
  readonly decoder: KernelDecoder;
}

const LIMITS = { blockSize: 4, numKvBlocks: 30, maxNumBatchedTokens: 21, numThreads: 3 };

/** By default into one memory. */
async function load(
  name: string,
  memory = new KernelMemory(),
  spreadOf: (sizes: DenseSizes) => Spread = unspread,
): Promise<Loaded> {
  const dir = tinyModel(name);
  const { config } = await readModelFiles(dir);
  const spec = modelSpecOf(config);
  const weights = await openWeights(dir, spec);
  try {
    const reader = new DenseReader(weights);
    const residence = { compute: 'kernels', experts: 'bf16', dense: 'auto' } as const;
    const options = { spec, mla: 'auto', blockSize: LIMITS.blockSize, residence } as const;
    const sizes = denseSizesOf({ ...options, ...LIMITS, weights });
    const spread = spreadOf(sizes);
    const memories = spread.reservedBytes.map((_, i) => (i === 0 ? memory : new KernelMemory()));
    const loader = new WeightLoader();
    const decoder = await loadKernelDecoder(reader, options, memories, loader, spread);
    loader.close();
    return { spec, sizes, spread, memories, memory, decoder };
  } finally {
    await weights.close();
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
    await states.attend(layer);
    if (kind === 'dense') await states.feedForward(layer);
    else {
      const tokens = states.moe(layer);
      await tokens.route();
      await tokens.runShared();
      const y = tokens.room();
      y.view().fill(0);
      tokens.add(y);
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

  for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
    it(`${name}: each of several memories holds what was planned, and hidden states cross by one copy`, async () => {
      const one = await load(name);
      const part = { rowStart: 0, numTokens: 9, position: 0, blocks: range(3), isPrompt: true };
      const tokenIds = Int32Array.from(range(9));
      const copied = async ({ decoder, spec, memories }: Loaded): Promise<[number, number]> => {
        const count = (of: (memory: KernelMemory) => number): number =>
          memories.reduce((sum, each) => sum + of(each), 0);
        await step(decoder, spec, tokenIds, [part]);
        return [count(({ counts }) => counts.numCopies), count(({ counts }) => counts.copiedBytes)];
      };
      const [numCopies, copiedBytes] = await copied(one);
      for (const numMemories of [2, 3]) {
        const loaded = await load(name, new KernelMemory(), (sizes) => smallestSpread(sizes, numMemories).spread);
        const { spec, sizes, spread, memories, decoder } = loaded;
        expect(new Set(spread.layers).size).to.equal(numMemories);
        const path = [spread.embedding, ...spread.layers];
        const numHops = path.filter((memory, i) => i > 0 && memory !== path[i - 1]).length;
        const isHeadApart = Number(spread.head !== path.at(-1));
        for (const [number, memory] of memories.entries()) {
          const planned = spec.layers.reduce(
            (sum, _, layer) => sum + (spread.layers[layer] === number ? sizes.layers[layer]!.weights : 0),
            (spread.embedding === number ? sizes.embedding : 0) + (spread.head === number ? sizes.head! : 0),
          );
          expect(memory.usedBytes, `memory ${number} of ${numMemories}`).to.be.within(
            0.9 * planned - 2048,
            planned + 1024,
          );
        }
        const several = await copied(loaded);
        const rowBytes = 4 * padded(spec.hiddenSize);
        expect(several[0] - numCopies, 'copies').to.equal(numHops + isHeadApart);
        expect(several[1] - copiedBytes, 'bytes').to.equal((9 * numHops + isHeadApart) * rowBytes);
        decoder.dispose();
        for (const memory of memories) expect(memory.usedBytes).to.equal(0);
      }
      one.decoder.dispose();
    });
  }

  for (const name of ['tiny-deepseek-v3', 'tiny-qwen3-moe']) {
    it(`${name}: the largest step of several threads fits into what was planned for it`, async () => {
      const crew = await startCrew(LIMITS.numThreads);
      const measured = await load(name);
      const { usedBytes, reservedBytes } = measured.memory;
      measured.decoder.dispose();
      const { step: planned, logits, layers } = measured.sizes;
      const cache = layers.reduce((sum, layer) => sum + layer.cache, 0);
      // What the kernels' own areas take, of each thread, is not handed out.
      const own = new KernelMemory(undefined, PLAIN_KERNELS, crew).allocate(64);
      const limit = own + usedBytes + cache + planned + logits;
      expect(limit - own).to.be.below(reservedBytes + cache + planned + logits);
      const { decoder, spec, memory } = await load(name, new KernelMemory(limit, PLAIN_KERNELS, crew));
      for (const numPrompt of [1, 8, 20]) {
        const parts = [
          { rowStart: 0, numTokens: 1, position: 59, blocks: range(15), isPrompt: false },
          { rowStart: 1, numTokens: numPrompt, position: 60 - numPrompt, blocks: range(15, 15), isPrompt: true },
        ];
        const tokenIds = Int32Array.from({ length: 1 + numPrompt }, (_, i) => i % spec.vocabSize);
        await step(decoder, spec, tokenIds, parts);
        expect(memory.scratchBytes).to.be.within(planned / 20, planned + logits);
      }
      decoder.dispose();
      await crew.close();
    });
  }

  it('a memory that is too small is OUT_OF_MEMORY while it loads', async () => {
    const error = await errorOf(ExpertError, () => load('tiny-deepseek-v3', new KernelMemory(300 * 1024)));
    expect(error.code).to.equal('OUT_OF_MEMORY');
  });
});

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i);
