import { expect } from 'chai';
import fc from 'fast-check';
import { ExpertError } from '../../../../compute/base/errors.js';
import { KernelMemory } from '../../../../compute/wasm/memory/kernel_memory.js';
import { InternalError } from '../../../../base/coded_error.js';
import { KernelKvCache } from '../../../../lib/model/kernels/kernel_kv_cache.js';
import type { ModelSpec } from '../../../../lib/model/spec/spec.js';
import { gqaSpec, mlaSpec } from '../../../kit/kernels/attention_cases.js';
import { errorOf } from '../../../kit/rejects.js';

const cacheOf = (spec: ModelSpec, blockSize: number): [KernelKvCache, KernelMemory] => {
  const memory = new KernelMemory();
  return [new KernelKvCache(memory, spec, blockSize, 'f32'), memory];
};

const addressesOf = (cache: KernelKvCache, table: readonly number[], length: number): number[] => {
  const out: number[] = [];
  cache.addressesOf(table, length, out);
  return out;
};

describe('KV cache of the kernels', () => {
  it('allocates a block when it is first used, and knows it then', () => {
    const [cache, memory] = cacheOf(gqaSpec({}), 16);
    expect(cache.numBlocks).to.equal(0);
    const first = addressesOf(cache, [7, 3, 9], 17);
    expect(cache.numBlocks).to.equal(2);
    expect(addressesOf(cache, [3, 7], 32)).to.deep.equal([first[1], first[0]]);
    expect(addressesOf(cache, [], 0)).to.deep.equal([]);
    expect(new Set(first).size).to.equal(2);
    expect(memory.usedBytes).to.be.at.least(2 * cache.layerBytes);
  });

  it('a block that was given back is zeros when it comes again', () => {
    const [cache, memory] = cacheOf(mlaSpec({}), 3);
    const [address] = addressesOf(cache, [5], 1) as [number];
    memory.floats(address, cache.layerBytes / 4).fill(1);
    cache.free([5, 6]);
    expect(memory.usedBytes).to.equal(0);
    const [again] = addressesOf(cache, [5], 1) as [number];
    expect(memory.floats(again, cache.layerBytes / 4).every((value) => value === 0)).to.equal(true);
    cache.dispose();
    expect(memory.usedBytes).to.equal(0);
    expect(cache.numBlocks).to.equal(0);
  });

  it('blocks of a sequence do not overlap', () => {
    const [cache] = cacheOf(gqaSpec({}), 4);
    const addresses = addressesOf(cache, [4, 2, 0, 1, 3], 20).sort((a, b) => a - b);
    addresses.slice(1).forEach((address, i) => expect(address - addresses[i]!).to.be.at.least(cache.layerBytes));
  });

  it('blocks that are written come back, though the memory grows while they are', async () => {
    const [cache, memory] = cacheOf(gqaSpec({}), 64);
    const { reservedBytes } = memory;
    const blocks: Uint8Array[] = [];
    const numBytes = 4 * 64 * 4 * 10; // two heads of ten channels, keys and values
    while (memory.reservedBytes < 3 * reservedBytes) {
      const bytes = new Uint8Array(numBytes).fill(1 + (blocks.length % 100));
      cache.write(blocks.length, bytes);
      blocks.push(bytes);
    }
    for (const [id, bytes] of blocks.entries()) expect(await cache.read(id)).to.deep.equal(bytes);
    cache.dispose();
    expect(memory.usedBytes).to.equal(0);
  });

  it('a block that finds no memory changes nothing', async () => {
    const memory = new KernelMemory(2 ** 20);
    const cache = new KernelKvCache(memory, gqaSpec({}), 2 ** 15, 'f32');
    const bytes = new Uint8Array(4 * 2 ** 15 * 4 * 10);
    const error = await errorOf(ExpertError, () => {
      cache.write(0, bytes);
    });
    expect(error.code).to.equal('OUT_OF_MEMORY');
    expect([cache.numBlocks, memory.usedBytes]).to.deep.equal([0, 0]);
  });

  it('tables that are too short, and ids that are not whole numbers from 0, are INTERNAL errors', async () => {
    const [cache] = cacheOf(gqaSpec({}), 16);
    const anything = fc.oneof(
      fc.nat(5),
      fc.constantFrom(-1, 0.5, NaN, Infinity, -0.5, 2 ** 60, null, '3', {}, undefined),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(anything, { maxLength: 6 }), fc.nat(100), async (table, length) => {
        const needed = table.slice(0, Math.ceil(length / 16));
        const isRight =
          needed.length === Math.ceil(length / 16) &&
          needed.every((id) => Number.isSafeInteger(id) && (id as number) >= 0);
        const act = (): number[] => addressesOf(cache, table as number[], length);
        if (isRight) expect(act()).to.have.length(needed.length);
        else expect((await errorOf(InternalError, act)).code).to.equal('INTERNAL');
        expect(cache.numBlocks).to.be.at.most(6);
      }),
      { numRuns: 500 },
    );
  });
});
