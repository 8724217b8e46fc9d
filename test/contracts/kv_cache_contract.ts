/** What is asked of a KV cache whose blocks leave it and come back: the same suite for every compute and backend. */
import { expect } from 'chai';
import { kvRowBytes, type KvDtype } from '../../compute/base/kv_dtype.js';
import { selectBackend, tensorMemory, type BackendName } from '../../compute/tfjs/tf.js';
import type { KvCache } from '../../lib/model/decoder/decoder.js';
import { blockBytesOf, cacheRowsOf } from '../../lib/model/spec/cache_layout.js';
import { attentionNormName, attentionName, EMBEDDING } from '../../lib/model/spec/tensor_names.js';
import { modelSpecOf } from '../../lib/model/families/registry.js';
import { tensorShapesOf } from '../../lib/model/spec/tensor_shapes.js';
import type { Compute } from '../../lib/model/weights/residence.js';
import { InternalError } from '../../base/coded_error.js';
import { CacheRanks } from '../kit/model/cache_ranks.js';
import { conformanceValues, readConformance, writeConformanceModel } from '../kit/model/conformance.js';
import { errorOf } from '../kit/rejects.js';
import { withTempFolder } from '../kit/temp_folder.js';
import { largestDifference, randomFrom, randomValues } from '../refs/random.js';
import { readRowsRef } from '../refs/stored_row_ref.js';

export interface KvCacheOptions {
  readonly compute: Compute;
  readonly backend: BackendName;
  /** What keys and values are kept as. Default f32. */
  readonly kv?: KvDtype;
  /** Of the kernels, over which the layers are spread. Default 1. */
  readonly numMemories?: number;
}

interface CacheModel {
  readonly name: string;
  readonly family: string;
  readonly config: object;
}

/** Widths that are no multiples of 4, which the kernels pad. */
const MODELS: readonly CacheModel[] = [
  { name: 'MLA', family: 'deepseek_v3', config: { kv_lora_rank: 14, qk_rope_head_dim: 6, v_head_dim: 7 } },
  { name: 'GQA', family: 'qwen3_moe', config: { head_dim: 10 } },
];
const NUM_LAYERS = 2;
const SIZES = {
  hidden_size: 16,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  num_hidden_layers: NUM_LAYERS,
  max_position_embeddings: 1024,
};

/** Longer than a segment of the tensors' cache. */
const TOKENS = Array.from({ length: 270 }, (_, i) => (i * i + 7 * i) % 40);
const PROMPT = 262;

/** Declares the suite of one compute on one backend. */
export function describeKvCache({ compute, backend, kv = 'f32', numMemories }: KvCacheOptions): void {
  const memories = numMemories === undefined ? '' : ` in ${numMemories} memories`;
  const stored = kv === 'f32' ? '' : `, in ${kv}`;
  for (const model of MODELS) {
    describe(`blocks of a KV cache, ${model.name}, ${compute} on ${backend}${memories}${stored}`, () => {
      const rank = { residence: { compute, kv }, backend, ...(numMemories !== undefined && { numMemories }) };

      before(() => selectBackend(backend));

      it('come back bit by bit, wherever they were written and whatever was there', () =>
        withRanks(model, { ...rank, blockSize: 5 }, async (ranks) => {
          const cache = ranks.cache(0);
          const random = randomFrom(1);
          const [first, second] = [randomBlock(ranks, kv, 5, random), randomBlock(ranks, kv, 5, random)];
          cache.write(3, first);
          cache.write(70, second);
          expect(cache.numBlocks).to.equal(2);
          expect(isSame(await cache.read(3), first)).to.equal(true);
          expect(isSame(await cache.read(70), second)).to.equal(true);
          cache.write(3, second);
          expect(isSame(await cache.read(3), second)).to.equal(true);
        }));

      it('are the caller’s alone: bytes may begin anywhere, and change when a call has returned', () =>
        withRanks(model, { ...rank, blockSize: 1 }, async (ranks) => {
          const cache = ranks.cache(0);
          const block = randomBlock(ranks, kv, 1, randomFrom(2));
          const shifted = new Uint8Array(block.length + 1).subarray(1);
          shifted.set(block);
          cache.write(0, shifted);
          shifted.fill(9);
          const read = await cache.read(0);
          expect(read.buffer.byteLength).to.equal(block.length);
          expect(isSame(read, block)).to.equal(true);
          read.fill(9);
          expect(isSame(await cache.read(0), block)).to.equal(true);
          const reading = cache.read(0);
          cache.free([0]);
          expect(isSame(await reading, block)).to.equal(true);
        }));

      it('hold a token’s rows where the layout says, and zeros for tokens to come', () =>
        withRanks(model, { ...rank, blockSize: 8 }, async (ranks) => {
          await ranks.run(0, TOKENS.slice(0, 5), { position: 0, blocks: [4], isPrompt: true });
          const bytes = await ranks.cache(0).read(4);
          const { numLanes, rows } = cacheRowsOf(ranks.spec.attention);
          const size = rows.reduce((sum, row) => sum + kvRowBytes(kv, row), 0);
          expect(bytes.length).to.equal(NUM_LAYERS * numLanes * 8 * size);
          const rowOf = (row: number): Uint8Array => bytes.subarray(row * size, (row + 1) * size);
          for (let row = 0; row * size < bytes.length; row++) {
            expect(
              rowOf(row).every((byte) => byte === 0),
              `row ${row}`,
            ).to.equal(row % 8 >= 5);
          }
          for (const { lane, token, from, expected } of rowsOfFirstLayer(ranks)) {
            const values = readRowsRef(kv, rowOf(lane * 8 + token), rows);
            const actual = values.slice(from, from + expected.length);
            const range = Math.max(...values) - Math.min(...values);
            const tolerance = { f32: 1e-5, bf16: range / 256, int8: range / 255 }[kv];
            expect(largestDifference(actual, expected), `lane ${lane}, token ${token}`).to.be.below(tolerance);
          }
        }));

      it('are the same before and after attention joined them', () =>
        withRanks(model, { ...rank, blockSize: 16 }, async (ranks) => {
          const blocks = tableOf(16, 2);
          const cache = ranks.cache(0);
          await ranks.run(0, TOKENS.slice(0, 200), { position: 0, blocks, isPrompt: true });
          const before = await readAll(cache, blocks.slice(0, 12));
          await ranks.run(0, TOKENS.slice(200, PROMPT), { position: 200, blocks, isPrompt: true });
          await ranks.run(0, [TOKENS[PROMPT]!], { position: PROMPT, blocks, isPrompt: false });
          const after = await readAll(cache, blocks.slice(0, 12));
          before.forEach((bytes, i) => expect(isSame(after[i]!, bytes), `block ${i}`).to.equal(true));
        }));

      it('can be replaced one by one where several were joined, and put back', () =>
        withRanks(model, { ...rank, blockSize: 64 }, async (ranks) => {
          const blocks = tableOf(64, 3);
          const cache = ranks.cache(0);
          await ranks.run(0, TOKENS.slice(0, PROMPT), { position: 0, blocks, isPrompt: true });
          const decode = (): Promise<Float32Array> =>
            ranks.run(0, [TOKENS[PROMPT]!], { position: PROMPT, blocks, isPrompt: false });
          const expected = await decode();
          const before = await readAll(cache, blocks);
          cache.write(blocks[1]!, before[0]!);
          expect(isSame(await cache.read(blocks[0]!), before[0]!)).to.equal(true);
          expect(isSame(await cache.read(blocks[2]!), before[2]!)).to.equal(true);
          expect(largestDifference(await decode(), expected)).to.be.above(1e-4);
          cache.write(blocks[1]!, before[1]!);
          expect(largestDifference(await decode(), expected)).to.equal(0);
        }));

      it('leave nothing behind, and reading them changes nothing', () =>
        withRanks(model, { ...rank, blockSize: 16 }, async (ranks) => {
          const blocks = tableOf(16, 1);
          const cache = ranks.cache(0);
          const empty = ranks.held();
          const decode = (): Promise<Float32Array> =>
            ranks.run(0, [TOKENS[PROMPT]!], { position: PROMPT, blocks, isPrompt: false });
          await ranks.run(0, TOKENS.slice(0, PROMPT), { position: 0, blocks, isPrompt: true });
          await decode();
          const full = ranks.held();
          const all = await readAll(cache, blocks);
          expect(ranks.held()).to.deep.equal(full);
          await decode();
          expect(ranks.held()).to.deep.equal(full);
          blocks.forEach((id, i) => i % 2 === 0 && cache.write(id, all[i]!));
          blocks.forEach((id, i) => i % 3 === 0 && cache.write(id, all[i]!));
          ranks.cache(1).write(0, all[0]!);
          cache.free(blocks);
          expect(ranks.held()).not.to.deep.equal(empty);
          ranks.cache(1).free([0]);
          expect(ranks.held()).to.deep.equal(empty);
        }));

      it('that hold nothing, and bytes of another length, are refused by name, and nothing changes', () =>
        withRanks(model, { ...rank, blockSize: 4 }, async (ranks) => {
          const cache = ranks.cache(0);
          const block = randomBlock(ranks, kv, 4, randomFrom(4));
          cache.write(1, block);
          const held = ranks.held();
          const missing = await errorOf(InternalError, () => cache.read(17));
          expect(missing.message).to.match(/^INTERNAL: block 17 holds nothing/);
          for (const numBytes of [0, 1, block.length - 4, block.length - 1, block.length + 1, 2 * block.length]) {
            for (const id of [1, 17]) {
              const error = await errorOf(InternalError, () => {
                cache.write(id, new Uint8Array(numBytes));
              });
              expect(error.message)
                .to.match(/^INTERNAL: /)
                .and.contain(`${numBytes} bytes for block ${id}`)
                .and.contain(`takes ${block.length}`);
            }
          }
          expect(cache.numBlocks).to.equal(1);
          expect(ranks.held()).to.deep.equal(held);
          expect(isSame(await cache.read(1), block)).to.equal(true);
          cache.free([1]);
          expect((await errorOf(InternalError, () => cache.read(1))).code).to.equal('INTERNAL');
        }));

      for (const blockSize of [16, 64]) {
        it(`a sequence goes on in another rank’s cache with the same bits, from blocks of ${blockSize} tokens`, () =>
          withRanks(model, { ...rank, blockSize }, async (ranks) => {
            for (const length of [3, blockSize, PROMPT]) {
              const blocks = tableOf(blockSize, 0);
              const others = [...tableOf(blockSize, 5)].reverse();
              await ranks.run(0, TOKENS.slice(0, length), { position: 0, blocks, isPrompt: true });
              await copyBlocks(ranks.cache(0), blocks, ranks.cache(1), others, Math.ceil(length / blockSize));
              for (let position = length; position < length + 3; position++) {
                const sequence = { position, isPrompt: false };
                const here = await ranks.run(0, [TOKENS[position]!], { ...sequence, blocks });
                const there = await ranks.run(1, [TOKENS[position]!], { ...sequence, blocks: others });
                expect(isSame(bytesOf(there), bytesOf(here)), `position ${position}`).to.equal(true);
              }
              ranks.cache(0).free(blocks);
              ranks.cache(1).free(others);
            }
          }));
      }

      if (kv !== 'f32') return;
      const other = compute === 'kernels' ? 'tensors' : 'kernels';
      it(`a sequence goes on in a cache of ${other}, whose own blocks hold the same rows`, async () => {
        const blocks = tableOf(16, 0);
        const used = blocks.slice(0, Math.ceil(PROMPT / 16));
        const prefill = (ranks: CacheRanks): Promise<Float32Array> =>
          ranks.run(0, TOKENS.slice(0, PROMPT), { position: 0, blocks, isPrompt: true });
        let moved: Uint8Array[] = [];
        await withRanks(model, { ...rank, blockSize: 16 }, async (ranks) => {
          await prefill(ranks);
          moved = await readAll(ranks.cache(0), used);
        });
        await withRanks(model, { residence: { compute: other }, backend: 'wasm', blockSize: 16 }, async (ranks) => {
          const cache = ranks.cache(0);
          const decode = (table: readonly number[]): Promise<Float32Array> =>
            ranks.run(0, [TOKENS[PROMPT]!], { position: PROMPT, blocks: table, isPrompt: false });
          await prefill(ranks);
          const own = await readAll(cache, used);
          const copies = tableOf(16, 1);
          for (const [i, bytes] of moved.entries()) {
            expect(largestDifference(floatsOf(bytes), floatsOf(own[i]!)), `block ${i}`).to.be.below(1e-4);
            cache.write(copies[i]!, bytes);
            expect(isSame(await cache.read(copies[i]!), bytes), `block ${i}`).to.equal(true);
          }
          expect(largestDifference(await decode(copies), await decode(blocks))).to.be.below(1e-4);
        });
      });
    });
  }
}

/** Ranks of a model for one test, which leaves no tensor behind. */
function withRanks(
  { family, config }: CacheModel,
  options: Parameters<typeof CacheRanks.start>[1],
  use: (ranks: CacheRanks) => Promise<void>,
): Promise<void> {
  const base = readConformance(family).cases[0]!;
  const own = { ...base.config, ...SIZES, rope_scaling: null, ...config };
  const shapes = [...tensorShapesOf(modelSpecOf(own))].map(({ name, shape }) => [name, shape] as const);
  return withTempFolder(async (dir) => {
    await writeConformanceModel(dir, { ...base, config: own, tensors: Object.fromEntries(shapes) }, new Map());
    const { numTensors } = tensorMemory();
    const ranks = await CacheRanks.start(dir, options);
    await use(ranks).finally(() => ranks.close());
    expect(tensorMemory().numTensors, 'tensors left behind').to.equal(numTensors);
  });
}

/** Blocks for all tokens, in an order of their own. */
const tableOf = (blockSize: number, firstId: number): number[] =>
  Array.from({ length: Math.ceil(TOKENS.length / blockSize) }, (_, i) => firstId + 3 * i);

const readAll = (cache: KvCache, blocks: readonly number[]): Promise<Uint8Array[]> =>
  Promise.all(blocks.map((id) => cache.read(id)));

async function copyBlocks(
  from: KvCache,
  fromIds: readonly number[],
  to: KvCache,
  toIds: readonly number[],
  numBlocks: number,
): Promise<void> {
  for (let i = 0; i < numBlocks; i++) to.write(toIds[i]!, await from.read(fromIds[i]!));
}

/** Values of all sizes, in f32 with those that arithmetic changes first; in other types bytes of all kinds. */
function randomBlock({ spec }: CacheRanks, kv: KvDtype, blockSize: number, random: () => number): Uint8Array {
  const { rows: numBytes } = blockBytesOf(spec, kv, blockSize);
  if (kv !== 'f32') return Uint8Array.from({ length: numBytes }, () => Math.floor(256 * random()));
  const values = randomValues(random, numBytes / 4, 10);
  values.set([-0, 1e-42, -3e38, Infinity, 2 ** -126]);
  return bytesOf(values);
}

interface ExpectedRow {
  readonly lane: number;
  readonly token: number;
  readonly from: number;
  readonly expected: number[];
}

/** Of the first layer, computed from the weights: values or latents of five tokens, and the key of the first, which isn't rotated. */
function* rowsOfFirstLayer({ spec }: CacheRanks): Generator<ExpectedRow> {
  const { attention, hiddenSize, normEps } = spec;
  const weightOf = (name: string): Float32Array => {
    const { shape } = [...tensorShapesOf(spec)].find((each) => each.name === name)!;
    return conformanceValues(name, shape);
  };
  const norm = (x: readonly number[], name: string, eps: number): number[] => {
    const weight = weightOf(name);
    const scale = (x.reduce((sum, value) => sum + value * value, 0) / x.length + eps) ** -0.5;
    return x.map((value, i) => value * scale * weight[i]!);
  };
  const project = (x: readonly number[], part: string): number[] => {
    const weight = weightOf(attentionName(0, part));
    return Array.from({ length: weight.length / x.length }, (_, row) =>
      x.reduce((sum, value, i) => sum + value * weight[row * x.length + i]!, 0),
    );
  };
  const embedding = weightOf(EMBEDDING);
  for (let token = 0; token < 5; token++) {
    const row = embedding.slice(TOKENS[token]! * hiddenSize, (TOKENS[token]! + 1) * hiddenSize);
    const x = norm([...row], attentionNormName(0), normEps);
    if (attention.kind === 'mla') {
      const { kvLoraRank, latentNormEps } = attention;
      const both = project(x, 'kv_a_proj_with_mqa');
      const latent = norm(both.slice(0, kvLoraRank), attentionName(0, 'kv_a_layernorm'), latentNormEps);
      yield { lane: 0, token, from: 0, expected: latent };
      if (token === 0) yield { lane: 0, token, from: kvLoraRank, expected: both.slice(kvLoraRank) };
      continue;
    }
    const { numKvHeads, headDim } = attention;
    const [keys, values] = [project(x, 'k_proj'), project(x, 'v_proj')];
    for (let head = 0; head < numKvHeads; head++) {
      const ofHead = (all: readonly number[]): number[] => all.slice(head * headDim, (head + 1) * headDim);
      yield { lane: 2 * head + 1, token, from: 0, expected: ofHead(values) };
      const key = norm(ofHead(keys), attentionName(0, 'k_norm'), normEps);
      if (token === 0) yield { lane: 2 * head, token, from: 0, expected: key };
    }
  }
}

const floatsOf = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer);
const bytesOf = (values: Float32Array): Uint8Array<ArrayBuffer> =>
  new Uint8Array(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
