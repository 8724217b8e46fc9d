import { expect } from 'chai';
import { KvPool } from '../../../lib/kv_pool/kv_pool.js';
import { KvPoolError, type KvPoolErrorCode } from '../../../lib/kv_pool/errors.js';
import { errorOf } from '../../kit/rejects.js';

const OPTIONS = { blockBytes: 8, blockSize: 2, numBlocks: 4 };

/** What stands for keys and values of these tokens. */
const bytesOf = (...values: number[]): Uint8Array => Uint8Array.from({ length: 8 }, (_, i) => values[i] ?? 0);

/** Computes the blocks of some tokens that aren't there, as an engine would, and leaves them. */
async function compute(pool: KvPool, tokenIds: readonly number[]): Promise<void> {
  const { blocks, numTokens } = await pool.match(tokenIds);
  const fresh = pool.alloc(Math.floor(tokenIds.length / 2) - numTokens / 2);
  for (const [i, block] of fresh.entries()) {
    const at = numTokens + 2 * i;
    pool.write(block, bytesOf(...tokenIds.slice(at, at + 2)));
  }
  pool.insert(tokenIds, [...blocks, ...fresh]);
  pool.free([...blocks, ...fresh]);
}

/** What is found of some tokens. */
async function found(pool: KvPool, tokenIds: readonly number[]): Promise<number[]> {
  const { blocks } = await pool.match(tokenIds);
  const contents = await Promise.all(blocks.map((block) => pool.read(block)));
  pool.free(blocks);
  return contents.flatMap((bytes) => [...bytes.subarray(0, 2)]);
}

describe('a pool of KV blocks', () => {
  it('finds the longest beginning that was inserted, with the bytes that were written', async () => {
    const pool = await KvPool.open(OPTIONS);
    await compute(pool, [1, 2, 3, 4, 5]);
    expect(await found(pool, [1, 2, 3, 4, 5, 6])).to.deep.equal([1, 2, 3, 4]);
    expect(await found(pool, [1, 2, 9, 9])).to.deep.equal([1, 2]);
    expect(await found(pool, [2, 1, 3, 4])).to.deep.equal([]);
    expect(pool.use).to.deep.equal({ numBlocks: 4, numUsed: 0, numCached: 2, numPinned: 0, tiers: [] });
    await pool.close();
  });

  it('what nobody holds makes room, the least recently used first, what is pinned last', async () => {
    const pool = await KvPool.open(OPTIONS);
    await compute(pool, [1, 2]);
    await compute(pool, [3, 4]);
    await compute(pool, [5, 6]);
    pool.pin([1, 2], 60_000);
    await found(pool, [3, 4]);
    await compute(pool, [7, 8, 9, 10]);
    expect(await found(pool, [5, 6])).to.deep.equal([]);
    expect(await found(pool, [3, 4])).to.deep.equal([3, 4]);
    pool.free(pool.alloc(3));
    expect(await found(pool, [1, 2])).to.deep.equal([1, 2]);
    await pool.close();
  });

  it('what somebody holds stays', async () => {
    const pool = await KvPool.open(OPTIONS);
    await compute(pool, [1, 2, 3, 4]);
    const held = await pool.match([1, 2, 3, 4]);
    const rest = pool.alloc(2);
    const error = await errorOf(KvPoolError, () => pool.alloc(1));
    expect(error.message).to.equal('OUT_OF_BLOCKS: 1 of 4 blocks, and 4 are held; free some');
    pool.free(rest);
    pool.free(held.blocks);
    expect(pool.alloc(4)).to.have.length(4);
    await pool.close();
  });

  it('forgets what is deleted, and finds nothing behind it', async () => {
    const pool = await KvPool.open(OPTIONS);
    await compute(pool, [1, 2, 3, 4, 5, 6]);
    expect(pool.delete([1, 2, 3, 4], 2), 'from the third token on').to.equal(1);
    expect(await found(pool, [1, 2, 3, 4, 5, 6])).to.deep.equal([1, 2]);
    const held = await pool.match([1, 2]);
    expect(pool.delete([1, 2]), 'somebody holds it').to.equal(0);
    pool.free(held.blocks);
    expect(pool.delete([1, 2])).to.equal(1);
    await compute(pool, [7, 8, 7, 8, 7, 8, 7, 8]);
    expect(await found(pool, [7, 8, 7, 8, 7, 8, 7, 8])).to.have.length(8);
    await pool.close();
  });

  it('says what is wrong, and changes nothing', async () => {
    const pool = await KvPool.open(OPTIONS);
    const [block, empty] = pool.alloc(2);
    pool.write(block!, bytesOf(1, 2));
    pool.insert([1, 2], [block!]);
    const wrong: readonly (readonly [KvPoolErrorCode, () => unknown])[] = [
      ['INVALID_ARGUMENT', () => pool.alloc(-1)],
      ['INVALID_ARGUMENT', () => pool.write(empty!, new Uint8Array(7))],
      ['INVALID_ARGUMENT', () => pool.write(block!, bytesOf())],
      ['INVALID_ARGUMENT', () => pool.write(3, bytesOf())],
      ['INVALID_ARGUMENT', () => pool.read(empty!)],
      ['INVALID_ARGUMENT', () => pool.insert([3, 4], [empty!])],
      ['INVALID_ARGUMENT', () => pool.insert([1], [block!])],
      ['INVALID_ARGUMENT', () => pool.insert([1.5, 2], [block!])],
      ['INVALID_ARGUMENT', () => pool.insert([3, 4], [block!])],
      ['INVALID_ARGUMENT', () => pool.free([3])],
      ['INVALID_ARGUMENT', () => pool.free([empty!, empty!])],
      ['INVALID_ARGUMENT', () => pool.delete([1, 2], -4)],
      ['INVALID_ARGUMENT', () => pool.transfer(pool.address!, [block!])],
      ['INVALID_ARGUMENT', () => pool.pin([1, 2], -1)],
      ['INVALID_ARGUMENT', () => KvPool.open({ ...OPTIONS, blockSize: 0 })],
    ];
    for (const [code, call] of wrong) {
      expect((await errorOf(KvPoolError, call)).code).to.equal(code);
    }
    expect(pool.use).to.include({ numUsed: 2, numCached: 0 });
    await pool.close();
    await pool.close();
    expect((await errorOf(KvPoolError, () => pool.alloc(1))).code).to.equal('CLOSED');
  });
});
