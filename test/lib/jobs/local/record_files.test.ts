import { expect } from 'chai';
import { RecordFiles } from '../../../../lib/jobs/local/record_files.js';
import type { JobRecord } from '../../../../lib/jobs/base/job_bus.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

/** Counts files that are open at one time. */
class Counted extends RecordFiles {
  most = 0;
  private numOpen = 0;

  override async read(key: string): Promise<JobRecord | null> {
    this.most = Math.max(this.most, ++this.numOpen);
    try {
      return await super.read(key);
    } finally {
      this.numOpen--;
    }
  }
}

describe('files of records', () => {
  it('are opened some at a time, however many there are', () =>
    withTempFolder(async (folder) => {
      const files = new Counted(folder);
      const keys = Array.from({ length: 200 }, (_, index) => `shard.r.work.${index}`);
      for (const key of keys) await files.write({ key, text: '{}', revision: 1 }, true);
      const found = await files.list('shard.r');
      expect(found.map(({ key }) => key).sort()).to.deep.equal(keys.toSorted());
      expect(files.most).to.be.at.most(64);
    }));
});
