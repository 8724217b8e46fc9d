import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GrowingFile, type OpenFile } from '../../base/growing_file.js';
import { errorOf } from '../kit/rejects.js';
import { withTempFolder } from '../kit/temp_folder.js';

/** Takes three bytes at a time, and no more than `room.numBytes` in all. */
function smallDisk(room: { numBytes: number }): OpenFile & { readonly text: () => string } {
  let bytes = Buffer.alloc(0);
  return {
    write: ((buffer: Uint8Array, offset: number, length: number, position: number) => {
      const free = Math.min(length, room.numBytes - position, 3);
      if (free <= 0) return Promise.reject(new Error('ENOSPC'));
      const end = Buffer.alloc(Math.max(bytes.length, position + free));
      end.set(bytes);
      end.set(buffer.subarray(offset, offset + free), position);
      bytes = end;
      return Promise.resolve({ bytesWritten: free, buffer });
    }) as OpenFile['write'],
    truncate: (length = 0) => {
      bytes = bytes.subarray(0, length);
      return Promise.resolve();
    },
    datasync: () => Promise.resolve(),
    close: () => Promise.resolve(),
    text: () => bytes.toString(),
  };
}

describe('a file that grows', () => {
  it('has lines in the order in which they were asked for, after those that were there', () =>
    withTempFolder(async (dir) => {
      const path = join(dir, 'lines');
      await writeFile(path, 'zero\n');
      const file = await GrowingFile.open(path);
      await Promise.all(['one\n', 'two\n', 'three\n'].map((line) => file.append(line)));
      await file.close();
      await file.close();
      expect(await readFile(path, 'utf8')).to.equal('zero\none\ntwo\nthree\n');
    }));

  it('keeps no half of a line that a full disk doesn’t take, and takes the next when there is room', async () => {
    const room = { numBytes: 10 };
    const disk = smallDisk(room);
    const file = new GrowingFile(disk, 0);
    await file.append('first\n');
    expect((await errorOf(Error, () => file.append('second line\n'))).message).to.equal('ENOSPC');
    expect(disk.text()).to.equal('first\n');
    await file.append('2\n');
    room.numBytes = 100;
    await file.append('third\n');
    expect(disk.text()).to.equal('first\n2\nthird\n');
  });
});
