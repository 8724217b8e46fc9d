import { expect } from 'chai';
import type { Shard } from '../../../../lib/jobs/base/task.js';
import { afterFailure, beginningOf, MAX_LOSSES } from '../../../../lib/jobs/worker/shard_decisions.js';

const ERROR = { code: 'TASK_FAILED', message: 'it broke' };
const trying = (failures: number): Shard => ({ state: 'trying', failures, error: ERROR });
const RETRIES = { count: 2, backoffMs: 100, maxBackoffMs: 350 };
const WHO = { worker: 'w', attempt: 4, nowMs: 7 };

describe('what becomes of a shard', () => {
  it('one that ended isn’t run again', () => {
    const stopped: Shard = { state: 'stopped', error: ERROR, worker: 'w', attempts: 1, endedMs: 0 };
    expect(beginningOf(stopped, 1)).to.deep.equal({ kind: 'over' });
  });

  it('deaths of workers are no failures, but there is a last one', () => {
    expect(beginningOf(null, 1)).to.deep.equal({ kind: 'try', failures: 0, attempt: 1 });
    expect(beginningOf(null, MAX_LOSSES)).to.deep.equal({ kind: 'try', failures: 0, attempt: MAX_LOSSES });
    expect(beginningOf(null, MAX_LOSSES + 1)).to.deep.equal({ kind: 'lost', failures: 0 });
    expect(beginningOf(trying(3), MAX_LOSSES + 3)).to.include({ kind: 'try', failures: 3 });
    expect(beginningOf(trying(3), MAX_LOSSES + 4)).to.include({ kind: 'lost' });
  });

  it('a task that was put in line anew counts its tries on', () => {
    expect(beginningOf(trying(2), 1)).to.deep.equal({ kind: 'try', failures: 2, attempt: 3 });
  });

  it('failures are tried again, later each time, and then told', () => {
    const against = (shard: Shard | null) => afterFailure(shard, ERROR, RETRIES, WHO);
    expect(against(null)).to.deep.equal({ shard: trying(1), againMs: 100 });
    expect(against(trying(1))).to.deep.equal({ shard: trying(2), againMs: 200 });
    expect(against(trying(2))).to.deep.equal({
      shard: { state: 'failed', error: ERROR, worker: 'w', attempts: 4, endedMs: 7 },
      againMs: null,
    });
    expect(afterFailure(trying(2), ERROR, { ...RETRIES, count: 99 }, WHO).againMs).to.equal(350);
    expect(afterFailure(trying(90), ERROR, { ...RETRIES, count: 99 }, WHO).againMs).to.equal(350);
  });

  it('what would fail for ever isn’t tried again', () => {
    const error = { code: 'NOT_ALLOWED', message: 'no' };
    expect(afterFailure(null, error, RETRIES, WHO)).to.deep.include({ againMs: null });
  });
});
