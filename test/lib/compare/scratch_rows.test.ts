import { expect } from 'chai';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CompareError } from '../../../lib/compare/errors.js';
import { checkScratchRoom, ScratchRows } from '../../../lib/compare/scratch_rows.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits, randomFrom, randomValues } from '../../refs/random.js';

describe('rows that wait on a disk', () => {
  it('come back in their order, whatever pieces they were written and are read in', async () => {
    await withTempFolder(async (dir) => {
      const rows = await ScratchRows.create(dir);
      const values = randomValues(randomFrom(1), 700_000);
      for (let at = 0, size = 1; at < values.length; at += size, size = (size * 7) % 400_009) {
        await rows.write(values.subarray(at, Math.min(values.length, at + size)));
      }
      const read: Float32Array[] = [];
      for (const count of [1, 5, 262_145, 437_849]) read.push(await rows.read(count));
      expect(isSameBits(Float32Array.from(read.flatMap((part) => [...part])), values)).to.equal(true);
      const error = await errorOf(CompareError, () => rows.read(1));
      expect(error.message).to.include('SCRATCH_FAILED').and.to.include('it ends at byte 2800000');
      await rows.close();
    });
  });

  it('have no name on the disk, so that nothing of them can stay', async () => {
    await withTempFolder(async (dir) => {
      const rows = await ScratchRows.create(dir);
      await rows.write(new Float32Array(1_000_000));
      expect(await readdir(dir)).to.deep.equal([]);
      await rows.close();
    });
  });

  it('say which folder has no room for them, or is none, and what to do', async () => {
    await withTempFolder(async (dir) => {
      await checkScratchRoom(dir, 1);
      const full = await errorOf(CompareError, () => checkScratchRoom(dir, 2 ** 60));
      expect(full.message).to.match(/^NO_ROOM: .* takes 1099511627776\.0 MiB on the disk of .*TMPDIR/);
      const none = await errorOf(CompareError, () => ScratchRows.create(join(dir, 'none')));
      expect(none.message).to.match(/^SCRATCH_FAILED: numbers can't be kept in .*none .*TMPDIR/);
    });
  });
});
