import { expect } from 'chai';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import type { JobRecord } from '../../../../lib/jobs/base/job_bus.js';
import type { Shard } from '../../../../lib/jobs/base/task.js';
import { ShardRecord } from '../../../../lib/jobs/worker/shard_record.js';
import { errorOf } from '../../../kit/rejects.js';

const KEY = { run: 'r', node: 'n', index: 0 };
const ERROR = { code: 'TASK_FAILED', message: 'it broke' };
const done = (worker: string): Shard => ({
  state: 'done',
  files: [],
  value: null,
  worker,
  attempts: 1,
  beganMs: 1,
  endedMs: 2,
});
const failedOnce = (shard: Shard | null): Shard => ({
  state: 'trying',
  failures: (shard?.state === 'trying' ? shard.failures : 0) + 1,
  error: ERROR,
});

/** One record, whose next write comes to something else first. */
class PlayedRecords {
  kept: JobRecord | null = null;
  /** What becomes of the next write before it is looked at. */
  before: (key: string, text: string) => unknown = () => undefined;

  readonly read = (): Promise<JobRecord | null> => Promise.resolve(this.kept);

  readonly write = async (key: string, text: string, revision: number): Promise<number> => {
    const before = this.before;
    this.before = () => undefined;
    before(key, text);
    if (((await this.read())?.revision ?? 0) !== revision)
      throw new JobError('RECORD_CONFLICT', 'another one wrote; look');
    return this.put(key, text);
  };

  put(key: string, text: string): number {
    const revision = (this.kept?.revision ?? 0) + 1;
    this.kept = { key, text, revision };
    return revision;
  }
}

describe('the record of a shard', () => {
  it('is whoever’s wrote it first', async () => {
    const records = new PlayedRecords();
    records.before = (key) => records.put(key, JSON.stringify(done('other')));
    const { shard, isOurs } = await new ShardRecord(records, KEY).write(null, () => done('own'));
    expect([shard, isOurs]).to.deep.equal([done('other'), false]);
  });

  it('counts a failure of another one meanwhile, and then its own', async () => {
    const records = new PlayedRecords();
    records.before = (key) =>
      records.put(key, JSON.stringify({ ...failedOnce(null), error: { code: 'X', message: 'x' } }));
    expect((await new ShardRecord(records, KEY).write(null, failedOnce)).shard).to.include({ failures: 2 });
  });

  it('is one’s own where it was written and the answer was lost on the way', async () => {
    for (const next of [() => done('own'), failedOnce]) {
      const records = new PlayedRecords();
      records.before = (key, text) => records.put(key, text); // the client asks again, and finds its own record
      const { shard, isOurs } = await new ShardRecord(records, KEY).write(null, next);
      expect([shard, isOurs]).to.deep.equal([next(null), true]);
      expect(records.kept!.revision).to.equal(1);
    }
  });

  it('is read again by whoever gets the task next where the bus goes', async () => {
    const records = new PlayedRecords();
    records.before = (key, text) => {
      records.put(key, text);
      throw new JobError('BUS_FAILED', 'it is gone; wait');
    };
    const record = new ShardRecord(records, KEY);
    expect((await errorOf(JobError, () => record.write(null, () => done('own')))).code).to.equal('BUS_FAILED');
    expect(await record.read()).to.deep.equal(done('own'));
  });
});
