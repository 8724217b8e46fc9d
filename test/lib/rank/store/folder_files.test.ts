import { expect } from 'chai';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SYSTEM_CALLS, type DiskCalls } from '../../../../lib/rank/store/disk_calls.js';
import { FolderFiles } from '../../../../lib/rank/store/folder_files.js';
import { blockOfFile, headerOf, type StoredBlock } from '../../../../lib/rank/store/block_file.js';
import { describeBlockFiles } from '../../../contracts/block_files_contract.js';
import { DyingDisk, type LastCall } from '../../../kit/store/dying_disk.js';
import { PlayedFiles } from '../../../kit/store/played_files.js';
import { keyOf, SIZES, storedBlock } from '../../../kit/store/stored_blocks.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const filesIn = (folder: string, calls: DiskCalls = SYSTEM_CALLS): FolderFiles =>
  new FolderFiles({ folder, calls, sizes: SIZES, release: () => Promise.resolve() });

describeBlockFiles('as files of a folder', (use) => withTempFolder((folder) => use(() => filesIn(folder))));
describeBlockFiles('played', (use) => {
  const files = new PlayedFiles();
  return use(() => files);
});

const [a, b, c] = ['a', 'b', 'c'].map(keyOf) as [string, string, string];
const hexOf = (key: string): string => Buffer.from(key, 'latin1').toString('hex');
const fileOf = (key: string, block: StoredBlock): Uint8Array<ArrayBuffer> =>
  Uint8Array.from([...headerOf(key, block), ...block.bytes]);
const pathOf = (folder: string, key: string): string => join(folder, hexOf(key).slice(0, 2), `${hexOf(key)}.kv`);
const namesUnder = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true })).filter((name) => name.includes('.')).sort();

/** Blocks of each key that were written at any time. */
const WRITTEN: Readonly<Record<string, readonly StoredBlock[]>> = {
  [a]: [storedBlock(1), storedBlock(4, true)],
  [b]: [storedBlock(2)],
  [c]: [storedBlock(3)],
};

/** A life of a store, which looks at what is there, writes, replaces, reads, removes, and leaves something unfinished behind where it is killed. */
async function live(files: FolderFiles): Promise<void> {
  await files.scan();
  await files.write(a, WRITTEN[a]![0]!);
  await files.write(b, WRITTEN[b]![0]!);
  await files.write(a, WRITTEN[a]![1]!);
  await files.read(b);
  await files.remove(b);
  await files.write(c, WRITTEN[c]![0]!);
}

const WHOLE_CALLS: readonly LastCall[] = ['nothing', 'all'];
const LAST_CALLS: readonly LastCall[] = [...WHOLE_CALLS, 'half'];

describe('a process that keeps blocks as files', () => {
  it('killed at any call, in the middle of it too, leaves no wrong block, and nothing that hinders the next one', async () => {
    const whole = new DyingDisk();
    await withTempFolder(async (folder) => {
      await live(filesIn(folder, whole.calls));
      await live(filesIn(folder, whole.calls)); // of the second life everything is there already
    });
    expect(whole.made).to.have.length.above(30);
    for (const [index, { canBeHalf }] of whole.made.entries()) {
      const call = index + 1;
      for (const last of canBeHalf ? LAST_CALLS : WHOLE_CALLS) {
        await withTempFolder(async (folder) => {
          const dying = new DyingDisk(call, last);
          const lives = live(filesIn(folder, dying.calls)).then(() => live(filesIn(folder, dying.calls)));
          await lives.catch(() => undefined);
          const later = filesIn(folder);
          const found = (await later.scan()).map(({ key }) => key);
          for (const key of [a, b, c]) {
            const block = await later.read(key);
            expect([null, ...WRITTEN[key]!], `call ${call}, ${last}`).to.deep.include(block);
            if (block !== null) expect(found, `call ${call}, ${last}`).to.include(key);
          }
          expect((await namesUnder(folder)).filter((name) => !name.endsWith('.kv'))).to.deep.equal([]);
          await live(later);
          expect(await later.read(a)).to.deep.equal(WRITTEN[a]![1]);
        });
      }
    }
  });
});

describe('a file of a block', () => {
  it('is no block where it is short, long, of another key, or any of its bits is another', () => {
    const right = fileOf(a, storedBlock(7, true));
    expect(blockOfFile(right, a)).to.deep.equal(storedBlock(7, true));
    for (let length = 0; length < right.length; length++) expect(blockOfFile(right.slice(0, length), a)).to.equal(null);
    for (let bit = 0; bit < 8 * right.length; bit++) {
      const flipped = right.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      expect(blockOfFile(flipped, a), `bit ${bit}`).to.equal(null);
    }
    const long = new Uint8Array(right.length + 1);
    long.set(right);
    expect([blockOfFile(long, a), blockOfFile(new Uint8Array(right.length), a), blockOfFile(right, b)]).to.deep.equal([
      ...[null, null, null],
    ]);
  });

  it('that is no block is not read, and goes', () =>
    withTempFolder(async (folder) => {
      const files = filesIn(folder);
      await files.write(a, storedBlock(7));
      const right = new Uint8Array(await readFile(pathOf(folder, a)));
      expect(right).to.deep.equal(fileOf(a, storedBlock(7)));
      const flipped = right.slice();
      flipped[90]! ^= 1;
      const huge = new Uint8Array(1000);
      for (const wrong of [right.slice(0, 79), right.slice(0, -1), flipped, fileOf(b, storedBlock(7)), huge]) {
        await writeFile(pathOf(folder, a), wrong);
        expect(await files.read(a)).to.equal(null);
        expect(await namesUnder(folder)).to.deep.equal([]);
      }
      await mkdir(pathOf(folder, a)); // what can't be read is no block either
      expect(await files.read(a)).to.equal(null);
    }));

  it('whose block has no size that blocks have here is not read, whoever wrote it, and goes when it is found', () =>
    withTempFolder(async (folder) => {
      const block = { bytes: new Uint8Array(SIZES.rowBytes + 1), hasState: false };
      await filesIn(folder).write(a, block);
      expect(await filesIn(folder).read(a)).to.equal(null);
      await filesIn(folder).write(a, block);
      await filesIn(folder).write(b, storedBlock(1));
      expect((await filesIn(folder).scan()).map(({ key }) => key)).to.deep.equal([b]);
      expect(await namesUnder(folder)).to.have.length(1);
    }));

  it('that is none, but has the name of one, hides no other', () =>
    withTempFolder(async (folder) => {
      await filesIn(folder).write(a, storedBlock(1));
      await mkdir(pathOf(folder, b), { recursive: true });
      await mkdir(`${pathOf(folder, c)}.part`, { recursive: true });
      expect((await filesIn(folder).scan()).map(({ key }) => key)).to.deep.equal([a]);
    }));

  it('is of nobody else’s business: other files stay where they are', () =>
    withTempFolder(async (folder) => {
      await filesIn(folder).write(a, storedBlock(1));
      const others = ['notes.txt', `${hexOf(a).slice(0, 2)}/notes.txt`, `${hexOf(a).slice(0, 2)}/${hexOf(a)}.kv.txt`];
      for (const name of others) await writeFile(join(folder, name), 'mine');
      expect(await filesIn(folder).scan()).to.have.length(1);
      expect(await namesUnder(folder)).to.include.members(others);
    }));
});
