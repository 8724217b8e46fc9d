import { expect } from 'chai';
import { removableRuns, unusedBlobs } from '../../../../lib/jobs/decisions/keeping.js';
import type { JobRun } from '../../../../lib/jobs/base/run.js';
import { job, node, runOf } from '../../../kit/jobs/jobs.js';

const of = job();
const ended = (id: string, dueMs: number, changes: Partial<JobRun> = {}): JobRun =>
  runOf(of, id, dueMs, { state: 'succeeded', isSettled: true, ...changes });
const ids = (runs: readonly JobRun[]): string[] => runs.map(({ id }) => id);

describe('which runs go', () => {
  it('the oldest that have ended and have nothing left to do', () => {
    const runs = [ended('c', 3), ended('a', 1), ended('b', 2), runOf(of, 'd', 0)];
    expect(ids(removableRuns(runs, 1))).to.deep.equal(['a', 'b']);
    expect(ids(removableRuns(runs, 3))).to.deep.equal([]);
    expect(ids(removableRuns([ended('a', 1, { isSettled: false }), ended('b', 2)], 1))).to.deep.equal([]);
  });

  it('those that were discarded push out no others', () => {
    const dropped = [1, 2, 3].map((at) => ended(`dropped${at}`, 10 + at, { state: 'discarded' }));
    expect(ids(removableRuns([ended('a', 1), ...dropped], 1))).to.deep.equal(['dropped1', 'dropped2']);
  });

  it('what a later run keeps nodes of stays, and the last one of each schedule', () => {
    const work = { ...ended('x', 0).nodes.work!, of: 'a' };
    const resumed = ended('c', 3, { nodes: { work } });
    expect(ids(removableRuns([ended('a', 1), ended('b', 2), resumed], 1))).to.deep.equal(['b']);
    const scheduled = [1, 2].map((at) => ended(`s${at}`, at, { cause: { kind: 'schedule', trigger: 0 } }));
    expect(ids(removableRuns([...scheduled, ended('c', 3), ended('d', 4)], 1))).to.deep.equal(['s1', 'c']);
  });

  it('a blob goes with the last job and run that name it', () => {
    const withPlan = (plan: string): typeof of =>
      job({ nodes: [node('runs', { work: { kind: 'experiment', plan, numRuns: 1 } })] });
    const [older, newer] = [withPlan('job.nightly/1'), withPlan('job.nightly/2')];
    expect(unusedBlobs(older, newer, [runOf(newer, 'b', 2)])).to.deep.equal(['job.nightly/1']);
    expect(unusedBlobs(older, newer, [runOf(older, 'b', 2)])).to.deep.equal([]);
    expect(unusedBlobs(newer, newer, [])).to.deep.equal([]);
    expect(unusedBlobs(of, null, [])).to.deep.equal([]);
  });
});
