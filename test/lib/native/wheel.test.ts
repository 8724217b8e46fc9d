import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NativeError } from '../../../lib/native/errors.js';
import { extractEntry, readWheel } from '../../../lib/native/wheel.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { zipOf } from '../../kit/native/zip_writer.js';

const TEXT = Buffer.from('expert '.repeat(20_000));
const ENTRIES = [
  { name: 'a/deflated.txt', bytes: TEXT, isDeflated: true },
  { name: 'a/stored.bin', bytes: TEXT.subarray(0, 1000), isDeflated: false },
  { name: 'empty', bytes: Buffer.alloc(0), isDeflated: false },
];
const ZIP = zipOf(ENTRIES);

/** Extracts all entries of a zip file and returns their bytes; counts those reported. */
async function extractAll(
  dir: string,
  zip: Buffer,
  signal = new AbortController().signal,
): Promise<{ extracted: Buffer[]; reported: number }> {
  const wheel = join(dir, 'some.whl');
  await writeFile(wheel, zip);
  const extracted: Buffer[] = [];
  let reported = 0;
  for (const entry of await readWheel(wheel)) {
    const target = join(dir, 'out', entry.name);
    await extractEntry(wheel, entry, target, { signal, onBytes: (bytes) => (reported += bytes) });
    extracted.push(await readFile(target));
  }
  return { extracted, reported };
}

describe('a wheel', () => {
  it('gives back the bytes of every entry, deflated, stored and empty, and reports each once', async () => {
    await withTempFolder(async (dir) => {
      const { extracted, reported } = await extractAll(dir, ZIP);
      expect(extracted).to.deep.equal(ENTRIES.map(({ bytes }) => Buffer.from(bytes)));
      expect(reported).to.equal(ENTRIES.reduce((sum, { bytes }) => sum + bytes.length, 0));
    });
  });

  it('that was cut off anywhere is refused', async () => {
    await withTempFolder(async (dir) => {
      for (let length = 0; length < ZIP.length; length += 13) {
        const error = await errorOf(NativeError, () => extractAll(dir, ZIP.subarray(0, length)));
        expect(error.code, `${length} bytes`).to.equal('BAD_ARCHIVE');
      }
    });
  });

  it('with one byte changed in what an entry holds is refused', async () => {
    await withTempFolder(async (dir) => {
      const header = 30 + ENTRIES[0]!.name.length + 5;
      for (const at of [header, header + 40, header + 200, ZIP.indexOf(TEXT.subarray(0, 100)) + 7]) {
        const zip = Buffer.from(ZIP);
        zip[at]! ^= 0x10;
        const error = await errorOf(NativeError, () => extractAll(dir, zip));
        expect(error.code, `byte ${at}`).to.equal('BAD_ARCHIVE');
        expect(error.message).to.contain('some.whl').and.contain('delete it and try again');
      }
    });
  });

  it('is left when its reader is told to stop', async () => {
    await withTempFolder(async (dir) => {
      const reason = new Error('interrupted');
      expect(await errorOf(Error, () => extractAll(dir, ZIP, AbortSignal.abort(reason)))).to.equal(reason);
    });
  });
});
