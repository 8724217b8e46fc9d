import { expect } from 'chai';
import type { JobNode, Json } from '../../../../lib/jobs/base/job.js';
import type { Task } from '../../../../lib/jobs/base/task.js';
import { begun } from '../../../../lib/jobs/decisions/graph.js';
import { followingRunId, scheduledRunId } from '../../../../lib/jobs/decisions/ids.js';
import { shardTotalOf, taskOf } from '../../../../lib/jobs/decisions/shards.js';
import { job, node, runOf } from '../../../kit/jobs/jobs.js';

const batch = {
  kind: 'batch',
  url: 'http://host',
  input: 'job.nightly/in',
  numLines: 25,
  linesPerShard: 10,
  concurrency: 4,
} as const;

function taskFor(of: JobNode, index: number, params: Readonly<Record<string, Json>> = {}): Task {
  const run = begun(runOf(job({ nodes: [of] }), 'nightly-1', 5, { params }), 6);
  const shardTotal = shardTotalOf(of, 3);
  return taskOf({ ...run, nodes: { [of.name]: { ...run.nodes[of.name]!, shardTotal } } }, of, index);
}

describe('shards', () => {
  it('are as many as the node says, as the workers, the values, the runs, or the lines make', () => {
    expect(shardTotalOf(node('a', { shards: { kind: 'count', count: 7 } }), 0)).to.equal(7);
    expect(shardTotalOf(node('a', { shards: { kind: 'each', items: [1, 2] } }), 0)).to.equal(2);
    expect(shardTotalOf(node('a', { shards: { kind: 'broadcast' } }), 3)).to.equal(3);
    expect(shardTotalOf(node('a', { shards: { kind: 'broadcast' } }), 0)).to.equal(null);
    expect(shardTotalOf(node('a', { work: { kind: 'experiment', plan: 'p', numRuns: 9 } }), 3)).to.equal(9);
    expect(shardTotalOf(node('a', { work: batch }), 3)).to.equal(3);
  });

  it('know their index, total, value, run and parameters; the folder of inputs is the worker’s', () => {
    const args = [
      '${shard_index}/${shard_total}',
      '${item.seed} ${item}',
      '${run} ${job}',
      '${param.to}',
      '${inputs}/a',
    ];
    const of = node('a', {
      work: { kind: 'command', args },
      shards: { kind: 'each', items: [{ seed: 4 }, { seed: 5 }] },
    });
    expect(taskFor(of, 1, { to: 'x' }).work).to.deep.equal({
      kind: 'command',
      args: ['1/2', '5 {"seed":5}', 'nightly-1 nightly', 'x', '${inputs}/a'],
    });
  });

  it('a placeholder without a value says what to do', () => {
    const of = (arg: string): JobNode => node('a', { work: { kind: 'command', args: [arg] } });
    expect(() => taskFor(of('${param.to}'), 0)).to.throw(
      "NOT_ALLOWED: node 'a' has no value for ${param.to}; give it: --param to=VALUE",
    );
    expect(() => taskFor(of('${item}'), 0)).to.throw("node 'a' has no value for ${item}; mend the file of the job");
    expect(() => taskFor(of('${param.toString}'), 0)).to.throw('has no value');
  });

  it('each has its lines of a batch, the last one those that are left', () => {
    const lines = [0, 1, 2].map(
      (index) => taskFor(node('a', { work: batch }), index).work as { from: number; to: number },
    );
    expect(lines.map(({ from, to }) => [from, to])).to.deep.equal([
      [0, 10],
      [10, 20],
      [20, 25],
    ]);
  });

  it('a plan that lacks a run is said', () => {
    const of = node('a', { work: { kind: 'experiment', plan: 'job.nightly/plan', numRuns: 1 } });
    expect(() => taskFor(of, 0)).to.throw('BROKEN_RECORD: job.nightly/plan has no run 0; apply the job again');
  });
});

describe('names of runs', () => {
  it('say when they were due, and are the same for the same firing or run before', () => {
    expect(scheduledRunId('nightly', Date.UTC(2026, 10, 30, 3))).to.equal('nightly-20261130-030000');
    expect(scheduledRunId('nightly', Date.UTC(2026, 10, 30, 3, 0, 0, 50))).to.equal('nightly-20261130-030000-050');
    const run = runOf(job(), 'a', 0, { endedMs: Date.UTC(2026, 10, 30, 3) });
    expect(followingRunId('report', run)).to.match(/^report-20261130-030000-[0-9a-f]{8}$/);
    expect(followingRunId('report', { ...run, id: 'b' })).not.to.equal(followingRunId('report', run));
  });
});
