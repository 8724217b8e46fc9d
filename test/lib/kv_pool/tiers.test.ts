/** Pools whose memory is small: what it has no room for goes down, and comes up when it is asked for. */
import { expect } from 'chai';
import fc from 'fast-check';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KvPoolError } from '../../../lib/kv_pool/errors.js';
import { KvPool } from '../../../lib/kv_pool/kv_pool.js';
import type { KvPoolOptions } from '../../../lib/kv_pool/pool_options.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

const SIZES = { blockBytes: 8, blockSize: 2, numBlocks: 3, identity: 'one model' };
/** Of so many blocks in files. */
const onDisk = (path: string, numBlocks: number) => ({ disk: { path, size: numBlocks * (8 + 80) } });

const bytesOf = (values: readonly number[]): Uint8Array => Uint8Array.from({ length: 8 }, (_, i) => values[i] ?? 0);

/** Computes what of some tokens isn't there, leaves all of it, and returns what was found. */
async function turn(pool: KvPool, tokenIds: readonly number[]): Promise<number[]> {
  const { blocks, numTokens } = await pool.match(tokenIds);
  const found = await Promise.all(blocks.map((block) => pool.read(block)));
  const fresh = pool.alloc(Math.floor(tokenIds.length / 2) - blocks.length);
  for (const [i, block] of fresh.entries()) {
    pool.write(block, bytesOf(tokenIds.slice(numTokens + 2 * i, numTokens + 2 * i + 2)));
  }
  pool.insert(tokenIds, [...blocks, ...fresh]);
  pool.free([...blocks, ...fresh]);
  return found.flatMap((bytes) => [...bytes.subarray(0, 2)]);
}

/** Of so many conversations, each of three blocks. */
const said = (conversation: number): number[] => [0, 1, 2, 3, 4, 5].map((i) => 10 * conversation + i);

describe('a pool with tiers', () => {
  it('finds what memory had no room for, with the bytes that were written, and says where it was', () =>
    withTempFolder(async (path) => {
      const pool = await KvPool.open({ ...SIZES, tiers: [{ ram: 3 * 8 }, onDisk(path, 6)] });
      for (const conversation of [1, 2, 3]) expect(await turn(pool, said(conversation))).to.deep.equal([]);
      const { tiers } = pool.use;
      expect(tiers.map(({ tier, numBlocks }) => [tier, numBlocks])).to.deep.equal([
        ['ram', 3],
        ['disk', 3],
      ]);
      for (const conversation of [1, 2, 3, 1])
        expect(await turn(pool, said(conversation))).to.deep.equal(said(conversation));
      expect(pool.use).to.include({ numUsed: 0, numCached: 3 });
      const numHits = pool.counts.reduce((sum, each) => sum + each.numHits, 0);
      expect(numHits).to.equal(4 * 6);
      expect(pool.delete(said(1)), 'of memory').to.equal(3);
      expect((await pool.match(said(1))).numTokens, 'and of all tiers').to.equal(0);
      await pool.close();
    }));

  it('what is on disk is there again when it is opened anew, for the same identity alone', () =>
    withTempFolder(async (path) => {
      const options: KvPoolOptions = { ...SIZES, tiers: [onDisk(path, 9)] };
      const first = await KvPool.open(options);
      for (const conversation of [1, 2, 3]) await turn(first, said(conversation));
      await first.close();
      const other = await KvPool.open({ ...options, identity: 'another model' });
      expect(await turn(other, said(1))).to.deep.equal([]);
      await other.close();
      const again = await KvPool.open(options);
      expect(await turn(again, said(1))).to.deep.equal(said(1));
      expect(await turn(again, said(3)), 'it was in memory alone').to.deep.equal([]);
      await again.close();
    }));

  it('a disk that can’t be used is told of, and all goes on without', () =>
    withTempFolder(async (path) => {
      const file = join(path, 'file');
      await writeFile(file, '');
      const notices: string[] = [];
      const tiers = [onDisk(file, 9)];
      const pool = await KvPool.open({ ...SIZES, tiers, onNotice: (notice) => void notices.push(notice) });
      for (const conversation of [1, 2, 1]) expect(await turn(pool, said(conversation))).to.deep.equal([]);
      expect(notices.join()).to.match(/keeps no KV blocks in .*file/);
      await pool.close();
      await rm(file);
    }));

  it('sizes that make no sense are refused', async () => {
    const tiers = [{ ram: 'much' }] as NonNullable<KvPoolOptions['tiers']>;
    const { message } = await errorOf(KvPoolError, () => KvPool.open({ ...SIZES, tiers }));
    expect(message).to.match(/^INVALID_ARGUMENT: tiers: give a list of \{ ram: SIZE \}/);
  });

  it('whatever is asked at once, what is found is what was written, and nothing stays held', () =>
    withTempFolder(async (path) => {
      const action = fc.record({ conversation: fc.nat(4), numTokens: fc.nat(8), pinMs: fc.constantFrom(0, 0, 5000) });
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(action, { maxLength: 3 }), { maxLength: 12 }), async (rounds) => {
          const pool = await KvPool.open({ ...SIZES, numBlocks: 6, tiers: [{ ram: 2 * 8 }, onDisk(path, 5)] });
          const ask = async ({ conversation, numTokens, pinMs }: (typeof rounds)[number][number]): Promise<void> => {
            const tokenIds = Array.from({ length: numTokens }, (_, i) => 10 * conversation + i);
            const { blocks } = await pool.match(tokenIds);
            const found = await Promise.all(blocks.map((block) => pool.read(block)));
            const values = found.flatMap((bytes) => [...bytes.subarray(0, 2)]);
            expect(values).to.deep.equal(tokenIds.slice(0, 2 * blocks.length));
            pool.free(blocks);
            pool.pin(tokenIds, pinMs);
          };
          for (const round of rounds) {
            await Promise.all(round.map(ask));
            const [one] = round;
            if (one !== undefined)
              await turn(
                pool,
                Array.from({ length: 6 }, (_, i) => 10 * one.conversation + i),
              );
          }
          expect(pool.use.numUsed).to.equal(0);
          await pool.close();
        }),
        { numRuns: 40 },
      );
    }));
});
