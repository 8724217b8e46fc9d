import { expect } from 'chai';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApiError } from '../../../../lib/server/base/api_error.js';
import { BatchFolder } from '../../../../lib/server/batches/batch_folder.js';
import { newFileId, StoredFiles } from '../../../../lib/server/batches/stored_files.js';
import { Gate } from '../../../kit/jobs/tasks.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const noWarning = (text: string): void => expect.fail(text);
const ASKED = { owner: '', filename: 'x', expiresAfterS: null };

describe('files that are stored', () => {
  it('have the room of all files together, those under way too, which is free again where one is dropped', () =>
    withTempFolder(async (dir) => {
      const folder = await BatchFolder.open(dir, noWarning);
      const files = new StoredFiles(
        folder,
        { max_file_bytes: 1000, max_bytes: 1000 },
        () => false,
        () => 1,
      );
      const goOn = new Gate();
      const content = async function* (): AsyncGenerator<Uint8Array> {
        yield Buffer.alloc(400);
        await goOn.opened;
        yield Buffer.alloc(200);
      };
      const uploads = Array.from({ length: 5 }, () =>
        files.receive(content()).catch((error: unknown) => (error as ApiError).code),
      );
      goOn.open();
      const got = await Promise.all(uploads);
      const kept = got.filter((each) => typeof each !== 'string');
      expect(got.filter((each) => each === 'STORAGE_FULL')).to.have.length(5 - kept.length);
      const names = await readdir(join(dir, 'files'));
      const sizes = await Promise.all(names.map((name) => stat(join(dir, 'files', name))));
      expect(sizes.reduce((sum, { size }) => sum + size, 0)).to.be.at.most(1000);
      for (const { id } of kept) await files.drop(id);
      const { id, bytes } = await files.receive(content());
      expect(await files.keep(id, bytes, ASKED)).to.include({ bytes: 600 });
      await folder.close();
    }));

  it('of its own half ones a folder is rid when it is opened, and of nobody else’s', () =>
    withTempFolder(async (dir) => {
      await (await BatchFolder.open(dir, noWarning)).close();
      const [half, coming] = [newFileId(), `${newFileId()}.arriving`];
      for (const name of [half, coming, 'important.txt', 'file-notes'])
        await writeFile(join(dir, 'files', name), 'text');
      await (await BatchFolder.open(dir, noWarning)).close();
      expect((await readdir(join(dir, 'files'))).sort()).to.deep.equal(['file-notes', 'important.txt']);
    }));
});
