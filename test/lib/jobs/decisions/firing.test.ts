import { expect } from 'chai';
import { isRunDue, jobsAfter, schedulesOf } from '../../../../lib/jobs/decisions/firing.js';
import { job, runOf } from '../../../kit/jobs/jobs.js';

const every = { kind: 'every', everyMs: 1000 } as const;

describe('firings', () => {
  const of = job({ triggers: [{ kind: 'after', job: 'other', on: 'end' }, every] });
  const firing = { job: 'nightly', trigger: 1, dueMs: 60_000 };

  it('a job has the schedules of its triggers, in their places', () => {
    expect(schedulesOf(of)).to.deep.equal([null, every]);
  });

  it('a firing makes a run, unless the job has no such schedule any more', () => {
    expect(isRunDue(of, firing, [], 60_010)).to.equal(true);
    expect(isRunDue(of, { ...firing, trigger: 0 }, [], 60_010)).to.equal(false);
    expect(isRunDue(of, { ...firing, trigger: 2 }, [], 60_010)).to.equal(false);
  });

  it('a missed one is made up for with misfire once, and not with skip', () => {
    expect(isRunDue(of, firing, [], 90_000)).to.equal(true);
    expect(isRunDue({ ...of, misfire: 'skip' }, firing, [], 90_000)).to.equal(false);
    expect(isRunDue({ ...of, misfire: 'skip' }, firing, [], 64_000)).to.equal(true);
  });

  it('one that comes again, or late, after its run went, makes no second run', () => {
    const later = runOf(of, 'later', 61_000, { cause: { kind: 'schedule', trigger: 1 } });
    expect(isRunDue(of, firing, [later], 61_010)).to.equal(false);
    expect(isRunDue(of, { ...firing, dueMs: 62_000 }, [later], 62_010)).to.equal(true);
    expect(isRunDue(of, firing, [{ ...later, cause: { kind: 'asked' } }], 61_010)).to.equal(true);
  });

  it('a run’s end makes those run that come after such an end', () => {
    const following = (['success', 'failure', 'end'] as const).map((on) =>
      job({ name: on, triggers: [{ kind: 'after', job: 'nightly', on }] }),
    );
    const after = (state: 'succeeded' | 'failed' | 'timed_out' | 'stopped' | 'discarded'): string[] =>
      jobsAfter(runOf(of, 'a', 0, { state }), [of, ...following]).map(({ name }) => name);
    expect(after('succeeded')).to.deep.equal(['success', 'end']);
    expect(after('failed')).to.deep.equal(['failure', 'end']);
    expect(after('timed_out')).to.deep.equal(['failure', 'end']);
    expect(after('stopped')).to.deep.equal(['end']);
    expect(after('discarded')).to.deep.equal([]);
  });
});
