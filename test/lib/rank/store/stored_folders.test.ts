import { expect } from 'chai';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BLOCK_FILE_HEADER_BYTES } from '../../../../lib/protocol/kv_store_plan.js';
import { openStore } from '../../../../lib/rank/store/open_store.js';
import type { RankStore } from '../../../../lib/rank/store/rank_store.js';
import { clearStored, removeForgotten, storedFolders } from '../../../../lib/rank/store/stored_folders.js';
import { contentOf, keyed } from '../../../kit/store/played_rank.js';
import { SIZES } from '../../../kit/store/stored_blocks.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const IDENTITY = 'ab'.repeat(32);

/** A rank with a tier there, which keeps so many blocks. */
async function kept(path: string, seat: number, numBlocks: number, identity = IDENTITY): Promise<RankStore> {
  const disk = { path, identity, maxBytes: 2 ** 20 };
  const cache = { read: (block: number) => Promise.resolve(contentOf(block).bytes), write: () => undefined };
  const told = { onLifted: () => undefined, onNews: () => undefined };
  const store = await openStore({ ...SIZES, ramBytes: null, disk }, seat, { cache, ...told });
  store.keep(keyed(...Array(numBlocks).keys()));
  return store;
}

/** Two days pass for what is there. */
async function age(folder: string): Promise<void> {
  const then = new Date(Date.now() - 48 * 3_600_000);
  for (const name of await readdir(folder, { recursive: true })) {
    if (name.endsWith('.kv')) await utimes(join(folder, name), then, then);
  }
}

describe('the folder of disk tiers, from outside', () => {
  it('has what each rank of each identity has, and who is at it; none where nothing is', () =>
    withTempFolder(async (path) => {
      expect(await storedFolders(join(path, 'nowhere'))).to.deep.equal([]);
      expect(await storedFolders(path)).to.deep.equal([]);
      await (await kept(path, 3, 2)).close();
      const running = await kept(path, 0, 0);
      const file = SIZES.rowBytes + BLOCK_FILE_HEADER_BYTES;
      await mkdir(join(path, IDENTITY, '0'));
      expect(await storedFolders(path)).to.deep.equal([
        { identity: IDENTITY, number: 0, numBlocks: 0, numBytes: 0, pid: process.pid },
        { identity: IDENTITY, number: 3, numBlocks: 2, numBytes: 2 * file, pid: null },
      ]);
      await running.close();
    }));

  it('is cleared of what no process has, and of blocks alone', () =>
    withTempFolder(async (path) => {
      for (const seat of [0, 1]) await (await kept(path, seat, 2)).close();
      await writeFile(join(path, IDENTITY, '0', 'notes.txt'), 'mine');
      const running = await kept(path, 1, 3);
      const cleared = (await clearStored(path)).map(({ number, numBlocks }) => [number, numBlocks]);
      expect(cleared).to.deep.equal([[0, 2]]);
      await running.close();
      expect((await storedFolders(path)).map(({ numBlocks }) => numBlocks)).to.deep.equal([0, 3]);
      expect((await readdir(join(path, IDENTITY, '0'))).filter((name) => name.includes('.'))).to.deep.equal([
        'notes.txt',
      ]);
    }));

  it('of other identities keeps what is in use, was used today, or has room: the oldest files go', () =>
    withTempFolder(async (path) => {
      const other = 'cd'.repeat(32);
      for (const [seat, identity] of [[0, IDENTITY] as const, [0, other] as const]) {
        await (await kept(path, seat, 4, identity)).close();
        await age(join(path, identity, String(seat)));
      }
      await (await kept(path, 1, 2, other)).close(); // of today
      const running = await kept(path, 2, 0, other);
      const file = SIZES.rowBytes + BLOCK_FILE_HEADER_BYTES;
      const counts = async (): Promise<unknown> => (await storedFolders(path)).map(({ numBlocks }) => numBlocks);
      await removeForgotten(path, IDENTITY, 6 * file);
      expect(await counts()).to.deep.equal([4, 4, 2]);
      await removeForgotten(path, IDENTITY, 5 * file - 1);
      expect(await counts()).to.deep.equal([4, 2, 2]);
      await removeForgotten(path, IDENTITY, 0);
      expect(await counts()).to.deep.equal([4, 0, 2]);
      await running.close();
    }));
});
