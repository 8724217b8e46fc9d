/** What a batch does when its disk is full. */
import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { rowOf, type Row } from '../../../../lib/batches/rows.js';
import { newBatch, type BatchRecord } from '../../../../lib/server/batches/batch_record.js';
import { KeptBatch } from '../../../../lib/server/batches/kept_batch.js';
import { RowFiles } from '../../../../lib/server/batches/row_files.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const record: BatchRecord = newBatch({
  ...{ id: 'batch_1', owner: '', endpoint: '/v1/completions', inputFileId: 'file-1', metadata: null, createdS: 1 },
  ...{ outputFileId: 'file-2', errorFileId: 'file-3', outputExpiresAfterS: null },
});
const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC', syscall: 'write' });
const row = (customId: string): Row =>
  rowOf('1', customId, { kind: 'unanswered', code: 'batch_expired', message: 'late' });

/** A disk that is full so many times. */
function keeping(numFull: number, warnings: string[]): KeptBatch {
  let left = numFull;
  const write = (line: string): void => void warnings.push((JSON.parse(line) as { msg: string }).msg);
  const writeBatch = (): Promise<void> => (left-- > 0 ? Promise.reject(full) : Promise.resolve());
  return new KeptBatch(record, { folder: { writeBatch }, log: pino({ level: 'warn' }, { write }) });
}

describe('a batch on a full disk', () => {
  it('waits until there is room, and says so once', async () => {
    const warnings: string[] = [];
    await keeping(1, warnings).save({ ...record, status: 'in_progress' });
    expect(warnings).to.have.length(2);
    expect(warnings[0]).to.match(/a batch waits: its files can’t be written; free room on the disk/);
    expect(warnings[1]).to.match(/goes on/);
  });

  it('holds up nobody’s end', async () => {
    const kept = keeping(Infinity, []);
    const reason = new Error('stopped');
    const saved = errorOf(Error, () => kept.save({ ...record, status: 'in_progress' }));
    kept.stop(reason);
    expect(await saved).to.equal(reason);
  });

  it('writes each row once, and those that it could not keep again', () =>
    withTempFolder(async (folder) => {
      const paths = { output: join(folder, 'o'), errors: join(folder, 'e') };
      let isFull = true;
      const rows = await RowFiles.open(paths, (work) => (isFull ? Promise.reject(full) : work()));
      expect(await errorOf(Error, () => rows.write([row('a')]))).to.equal(full);
      isFull = false;
      await rows.write([row('a'), row('b')]);
      await rows.write([row('b')]);
      await rows.close();
      const text = await readFile(paths.errors, 'utf8');
      expect(
        text
          .trim()
          .split('\n')
          .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id),
      ).to.deep.equal(['a', 'b']);
      const again = await RowFiles.open(paths, (work) => work());
      expect([again.tally.numFailed, again.tally.numCompleted]).to.deep.equal([2, 0]);
      await again.close();
    }));

  it('cuts off a row that was torn, however whole it looks', () =>
    withTempFolder(async (folder) => {
      const paths = { output: join(folder, 'o'), errors: join(folder, 'e') };
      const rows = await RowFiles.open(paths, (work) => work());
      await rows.write([row('a'), row('b')]);
      await rows.close();
      const whole = await readFile(paths.errors, 'utf8');
      await writeFile(paths.errors, whole.trimEnd()); // all of it but the line's end
      const again = await RowFiles.open(paths, (work) => work());
      expect([...again.tally.customIds]).to.deep.equal(['a']);
      await again.write([row('b')]);
      await again.close();
      expect(await readFile(paths.errors, 'utf8')).to.equal(whole);
    }));
});
