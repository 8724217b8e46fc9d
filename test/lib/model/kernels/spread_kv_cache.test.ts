import { expect } from 'chai';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { InternalError } from '../../../../base/coded_error.js';
import { blockBytesOf } from '../../../../lib/model/spec/cache_layout.js';
import { KernelKvCache } from '../../../../lib/model/kernels/kernel_kv_cache.js';
import { SpreadKvCache } from '../../../../lib/model/kernels/spread_kv_cache.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { gqaSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';
import { errorOf } from '../../../kit/rejects.js';

const BLOCK_SIZE = 5;
const NUM_LAYERS = [2, 1, 3];

interface Pieces {
  readonly cache: SpreadKvCache;
  readonly memories: readonly KernelMemory[];
  readonly blockBytes: number;
}

/** As many layers in each memory as {@link NUM_LAYERS} says; `limits`: of the memories. */
function spreadOf(spec: ModelSpec, limits: readonly number[] = []): Pieces {
  const memories = NUM_LAYERS.map((_, i) => new KernelMemory(limits[i]));
  const layer = spec.layers[0]!;
  const { rows: layerBytes } = blockBytesOf({ ...spec, layers: [layer] }, 'f32', BLOCK_SIZE);
  const pieces = NUM_LAYERS.map((numLayers, i) => {
    const own = new Array<ModelSpec['layers'][number]>(numLayers).fill(layer);
    return new KernelKvCache(memories[i]!, { ...spec, layers: own }, BLOCK_SIZE, 'f32');
  });
  return { cache: new SpreadKvCache(pieces), memories, blockBytes: 6 * layerBytes };
}

const usedIn = ({ memories }: Pieces): number[] => memories.map(({ usedBytes }) => usedBytes);
const bytesFrom = (first: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => first + i * 7);

describe('KV cache in several memories', () => {
  for (const [name, spec] of [
    ['MLA', mlaSpec({})],
    ['GQA', gqaSpec({})],
  ] as const) {
    it(`a block has a piece in each, in the order of layers, and reads as one cache of all layers does: ${name}`, async () => {
      const pieces = spreadOf(spec);
      const { cache, blockBytes } = pieces;
      const layers = new Array<ModelSpec['layers'][number]>(6).fill(spec.layers[0]!);
      const whole = new KernelKvCache(new KernelMemory(), { ...spec, layers }, BLOCK_SIZE, 'f32');
      for (const [id, first] of [
        [3, 1],
        [9, 2],
        [3, 3],
      ] as const) {
        const bytes = bytesFrom(first, blockBytes);
        for (const each of [cache, whole]) each.write(id, bytes);
        expect(await cache.read(id)).to.deep.equal(bytes);
        expect(await whole.read(id)).to.deep.equal(bytes);
      }
      expect([cache.blockSize, cache.numBlocks]).to.deep.equal([BLOCK_SIZE, 2]);
      const used = usedIn(pieces);
      used.forEach((bytes) => expect(bytes).to.be.above(0));
      cache.free([9, 4]);
      usedIn(pieces).forEach((bytes, i) => expect(bytes).to.equal(used[i]! / 2));
      expect((await errorOf(InternalError, () => cache.read(9))).message).to.contain('block 9 holds nothing to read');
      cache.free([3]);
      expect(usedIn(pieces)).to.deep.equal([0, 0, 0]);
    });
  }

  it('a block that finds room in some memories only is in none afterwards', async () => {
    const pieces = spreadOf(gqaSpec({}), [2 ** 20, 2 ** 20, 2 ** 20]);
    const { cache, memories, blockBytes } = pieces;
    cache.write(0, bytesFrom(5, blockBytes));
    const last = memories[2]!;
    const fillers: number[] = [];
    while (last.hasRoom(1024)) fillers.push(last.allocate(1024));
    const used = usedIn(pieces);
    const error = await errorOf(ExpertError, () => {
      cache.write(1, bytesFrom(6, blockBytes));
    });
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect(usedIn(pieces)).to.deep.equal(used);
    expect(cache.numBlocks).to.equal(1);
    expect(await cache.read(0)).to.deep.equal(bytesFrom(5, blockBytes));
    for (const address of fillers) last.free(address);
    cache.write(1, bytesFrom(6, blockBytes));
    expect(await cache.read(1)).to.deep.equal(bytesFrom(6, blockBytes));
  });

  it('bytes of another length are refused, and nothing changes', async () => {
    const pieces = spreadOf(gqaSpec({}));
    const { cache, blockBytes } = pieces;
    for (const numBytes of [0, blockBytes - 4, blockBytes + 1, blockBytes / 6]) {
      const error = await errorOf(InternalError, () => {
        cache.write(2, new Uint8Array(numBytes));
      });
      expect(error.message).to.contain(`${numBytes} bytes for block 2, and a block takes ${blockBytes}`);
    }
    expect(usedIn(pieces)).to.deep.equal([0, 0, 0]);
  });
});
