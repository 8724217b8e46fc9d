/** What is asked of blocks on a disk: the same suite for every kind. */
import { expect } from 'chai';
import type { BlockFiles } from '../../lib/rank/store/block_files.js';
import { keyOf, SIZES, storedBlock } from '../kit/store/stored_blocks.js';

/** `use`: what is closed is opened again with what it held. */
export type WithBlockFiles = (use: (open: () => BlockFiles) => Promise<void>) => Promise<void>;

/** Declares the suite. */
export function describeBlockFiles(name: string, withFiles: WithBlockFiles): void {
  const [a, b, c] = ['a', 'b', 'c'].map(keyOf) as [string, string, string];

  describe(`blocks on a disk, ${name}`, () => {
    it('come back bit by bit, with their states, also in a later life', () =>
      withFiles(async (open) => {
        const blocks = [storedBlock(1), storedBlock(2, true)] as const;
        for (const files of [open(), open()]) {
          await files.scan();
          await files.write(a, blocks[0]);
          await files.write(b, blocks[1]);
          expect([await files.read(a), await files.read(b), await files.read(c)]).to.deep.equal([...blocks, null]);
          await files.close();
        }
      }));

    it('are replaced and removed, and what isn’t there may be removed too', () =>
      withFiles(async (open) => {
        const files = open();
        expect(await files.scan()).to.deep.equal([]);
        await files.write(a, storedBlock(1));
        await files.write(a, storedBlock(2, true));
        await files.write(b, storedBlock(3));
        for (const key of [b, c]) await files.remove(key);
        expect([await files.read(a), await files.read(b)]).to.deep.equal([storedBlock(2, true), null]);
        await files.close();
      }));

    it('are found later, least recently used first', () =>
      withFiles(async (open) => {
        const files = open();
        await files.scan();
        for (const [i, key] of [a, b, c].entries()) await files.write(key, storedBlock(i, key === b));
        await files.read(a);
        await files.close();
        const later = open();
        const found = (await later.scan()).map(({ key, numBytes }) => [key, numBytes]);
        const { rowBytes, stateBytes } = SIZES;
        expect(found.find(([key]) => key === b)).to.deep.equal([b, rowBytes + stateBytes]);
        expect(found.map(([key]) => key).at(-1)).to.equal(a);
        expect(found).to.have.length(3);
        await later.close();
      }));
  });
}
