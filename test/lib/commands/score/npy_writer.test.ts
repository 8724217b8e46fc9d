import { expect } from 'chai';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NpyWriter } from '../../../../lib/commands/score/npy_writer.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { readNpy } from '../../../refs/npy_ref.js';
import { isSameBits, randomFrom, randomValues } from '../../../refs/random.js';

describe('npy writer', () => {
  it('writes what an independent reader reads back, rows in any pieces', async () => {
    await withTempFolder(async (dir) => {
      for (const [numRows, numColumns] of [
        [1, 1],
        [5, 3],
        [100, 4096],
      ] as const) {
        const path = join(dir, `${numRows}.npy`);
        const values = randomValues(randomFrom(numRows), numRows * numColumns);
        const writer = await NpyWriter.create(path, [numRows, numColumns]);
        const middle = Math.floor(numRows / 3) * numColumns;
        await writer.write(values.subarray(0, middle)); // a view that starts at 0, then one that doesn't
        await writer.write(values.subarray(middle));
        await writer.close();
        const { shape, data } = readNpy(await readFile(path));
        expect(shape).to.deep.equal([numRows, numColumns]);
        expect(isSameBits(data, values)).to.equal(true);
      }
    });
  });

  it('keeps the data aligned to 64 bytes for shapes of any length', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'wide.npy');
      for (let digits = 0; digits < 10; digits++) {
        const writer = await NpyWriter.create(path, [0, 10 ** digits]);
        await writer.close();
        const file = await readFile(path);
        expect(file.length % 64).to.equal(0);
        expect(readNpy(file).shape).to.deep.equal([0, 10 ** digits]);
      }
    });
  });

  it('removes the file when rows are missing or too many', async () => {
    await withTempFolder(async (dir) => {
      for (const numValues of [0, 3, 9]) {
        const writer = await NpyWriter.create(join(dir, 'logits.npy'), [2, 3]);
        await writer.write(new Float32Array(numValues));
        await writer.close();
        expect(await readdir(dir)).to.deep.equal([]);
      }
    });
  });

  it('replaces an older, longer file', async () => {
    await withTempFolder(async (dir) => {
      const path = join(dir, 'logits.npy');
      await writeFile(path, new Uint8Array(1000));
      const writer = await NpyWriter.create(path, [1, 2]);
      await writer.write(Float32Array.of(1, -2));
      await writer.close();
      expect([...readNpy(await readFile(path)).data]).to.deep.equal([1, -2]);
    });
  });
});
