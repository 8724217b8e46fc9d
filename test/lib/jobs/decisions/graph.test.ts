import { expect } from 'chai';
import fc from 'fast-check';
import type { JobNode } from '../../../../lib/jobs/base/job.js';
import type { JobRun, NodeState } from '../../../../lib/jobs/base/run.js';
import { advanced, begun, hasEnded, stopping, type Facts, type Tally } from '../../../../lib/jobs/decisions/graph.js';
import { resumingRun } from '../../../../lib/jobs/decisions/new_run.js';
import { job, node, runOf } from '../../../kit/jobs/jobs.js';

const NONE: Tally = { numDone: 0, numFailed: 0, numStopped: 0, error: null };
const DONE: Tally = { ...NONE, numDone: 1 };
const FAILED: Tally = { ...NONE, numFailed: 1, error: { code: 'TASK_FAILED', message: 'no' } };

const facts = (tallies: Readonly<Record<string, Tally>>, nowMs = 10): Facts => ({
  nowMs,
  numWorkers: 2,
  tallyOf: (name) => tallies[name] ?? NONE,
});
const states = (run: JobRun): Record<string, NodeState> =>
  Object.fromEntries(Object.entries(run.nodes).map(([name, { state }]) => [name, state]));
const running = (...nodes: JobNode[]): JobRun => begun(runOf(job({ nodes, timeoutMs: 1000 }), 'nightly-1', 0), 5);

/** a → b → d, a → c. */
const diamond = (): JobRun =>
  running(node('a'), node('b', { needs: ['a'] }), node('c', { needs: ['a'] }), node('d', { needs: ['b'] }));

describe('the graph of a run', () => {
  it('nodes begin when all that they need has succeeded, and the run succeeds with them', () => {
    const first = advanced(diamond(), facts({}));
    expect(first.nodes.a).to.include({ state: 'waiting', shardTotal: 1, beganMs: 10 });
    expect(first.nodes.b!.shardTotal).to.equal(null);
    expect(advanced(first, facts({}))).to.equal(first);
    const second = advanced(first, facts({ a: DONE }));
    expect(['b', 'c', 'd'].map((name) => second.nodes[name]!.shardTotal)).to.deep.equal([1, 1, null]);
    const third = advanced(second, facts({ a: DONE, b: DONE, c: DONE }));
    const last = advanced(third, facts({ a: DONE, b: DONE, c: DONE, d: DONE }, 20));
    expect([last.state, last.endedMs, last.error]).to.deep.equal(['succeeded', 20, null]);
  });

  it('what needs a node that failed is skipped, all else goes on, and the run fails with that node’s words', () => {
    const second = advanced(advanced(diamond(), facts({})), facts({ a: DONE }));
    const third = advanced(second, facts({ a: DONE, b: FAILED }));
    expect([states(third), third.state]).to.deep.equal([
      { a: 'succeeded', b: 'failed', c: 'waiting', d: 'skipped' },
      'running',
    ]);
    const last = advanced(third, facts({ a: DONE, b: FAILED, c: DONE }));
    expect([last.state, last.error]).to.deep.equal(['failed', FAILED.error]);
  });

  it('a run that resumes another one does what that one didn’t do, with its files', () => {
    const second = advanced(advanced(diamond(), facts({})), facts({ a: DONE }));
    const failed = advanced(second, facts({ a: DONE, b: FAILED, c: DONE }));
    const resumed = resumingRun(failed, { id: 'nightly-2', params: {}, dueMs: 30, nowMs: 30 });
    const next = advanced(begun(resumed, 31), facts({}, 32));
    expect(states(next)).to.deep.equal({ a: 'kept', b: 'waiting', c: 'kept', d: 'waiting' });
    expect([next.nodes.a!.of, next.nodes.b!.of]).to.deep.equal(['nightly-1', 'nightly-2']);
    expect([next.nodes.b!.shardTotal, next.nodes.d!.shardTotal]).to.deep.equal([1, null]);
    expect(advanced(next, facts({ b: DONE })).state).to.equal('running');
    expect(advanced(advanced(next, facts({ b: DONE })), facts({ b: DONE, d: DONE })).state).to.equal('succeeded');
  });

  it('one that stops begins nothing more, and has stopped when its shards have', () => {
    const error = { code: 'RUN_STOPPED', message: 'somebody asked' };
    const stops = stopping(advanced(diamond(), facts({})), error, 12);
    const waits = advanced(stops, facts({}, 12));
    expect([states(waits), waits.state]).to.deep.equal([
      { a: 'waiting', b: 'stopped', c: 'stopped', d: 'stopped' },
      'running',
    ]);
    const last = advanced(waits, facts({ a: { ...NONE, numStopped: 1, error } }, 13));
    expect([last.state, last.error, last.nodes.a!.state]).to.deep.equal(['stopped', error, 'stopped']);
    expect(stopping(runOf(job(), 'a', 0), error, 3)).to.include({ state: 'stopped', endedMs: 3 });
  });

  it('one that takes too long stops, and says so', () => {
    const first = advanced(diamond(), facts({}));
    expect(advanced(first, facts({}, 1004))).to.equal(first);
    const late = advanced(first, facts({}, 1005));
    expect(late.isStopping).to.equal(true);
    const last = advanced(late, facts({ a: { ...NONE, numStopped: 1 } }, 1010));
    expect([last.state, last.error?.code]).to.deep.equal(['timed_out', 'TASK_TIMED_OUT']);
  });

  it('a node without shards has succeeded, and one for each worker waits for a worker', () => {
    const empty = running(node('a', { shards: { kind: 'each', items: [] } }), node('b', { needs: ['a'] }));
    const next = advanced(empty, facts({}));
    expect([next.nodes.a!.state, next.nodes.b!.shardTotal]).to.deep.equal(['succeeded', 1]);
    const each = running(node('a', { shards: { kind: 'broadcast' } }));
    expect(advanced(each, { ...facts({}), numWorkers: 0 })).to.equal(each);
    expect(advanced(each, facts({})).nodes.a!.shardTotal).to.equal(2);
  });

  it('any graph comes to its end, each node after what it needs, whatever fails', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(), fc.boolean()), { minLength: 1, maxLength: 10 }), (drawn) => {
        const nodes = drawn.map(([bits], i) =>
          node(`n${i}`, { needs: drawn.flatMap((_, j) => (j < i && (bits >> j) & 1 ? [`n${j}`] : [])) }),
        );
        const tallies: Record<string, Tally> = {};
        let run = running(...nodes);
        for (let turn = 0; !hasEnded(run); turn++) {
          expect(turn).to.be.below(20);
          run = advanced(run, facts(tallies));
          for (const [i, { name, needs }] of nodes.entries()) {
            if (run.nodes[name]!.shardTotal === null) continue;
            for (const need of needs) expect(run.nodes[need]!.state).to.equal('succeeded');
            tallies[name] = drawn[i]![1] ? DONE : FAILED;
          }
        }
        expect(run.state).to.equal(
          Object.values(run.nodes).every(({ state }) => state === 'succeeded') ? 'succeeded' : 'failed',
        );
        for (const { name, needs } of nodes) {
          const isSkipped = needs.some((need) => run.nodes[need]!.state !== 'succeeded');
          expect(run.nodes[name]!.state === 'skipped').to.equal(isSkipped);
        }
      }),
    );
  });
});
