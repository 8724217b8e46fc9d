import { expect } from 'chai';
import { buffer } from 'node:stream/consumers';
import type { Job, JobNode, Route } from '../../../../lib/jobs/base/job.js';
import type { NodeState } from '../../../../lib/jobs/base/run.js';
import { planBytes } from '../../../../lib/jobs/base/plan_blob.js';
import { planOf } from '../../../kit/experiment/plans.js';
import { job, node } from '../../../kit/jobs/jobs.js';
import { BROKEN, JobScene } from '../../../kit/jobs/scene.js';

const second = { kind: 'every', everyMs: 1000 } as const;
const command = (...args: string[]): JobNode['work'] => ({ kind: 'command', args });

describe('who leads', () => {
  let scene: JobScene;
  const begin = (...given: ConstructorParameters<typeof JobScene>): JobScene => (scene = new JobScene(...given));
  afterEach(() => scene.end());

  const nodeStates = (run: string): Record<string, NodeState> =>
    Object.fromEntries(Object.entries(scene.run(run).nodes).map(([name, { state }]) => [name, state]));
  const workersOf = (run: string, name: string, count: number): (string | undefined)[] =>
    Array.from({ length: count }, (_, index) => {
      const shard = scene.shard(run, name, index);
      return shard?.state === 'done' ? shard.worker : undefined;
    });

  it('makes a run of a firing, once however often it comes, and leaves nothing in line', async () => {
    begin().startWorker('a');
    scene.apply(job({ triggers: [second] }));
    await scene.clock.pass(10);
    expect([...scene.bus.schedules]).to.deep.equal([['nightly', [second]]]);
    const dueMs = scene.clock.now();
    scene.fire('nightly', dueMs);
    scene.fire('nightly', dueMs);
    await scene.clock.pass(10);
    await scene.settle();
    scene.fire('nightly', dueMs);
    await scene.clock.pass(10);
    expect(scene.runs.map(({ state, cause, isSettled }) => [state, cause, isSettled])).to.deep.equal([
      ['succeeded', { kind: 'schedule', trigger: 0 }, true],
    ]);
    expect([...scene.effects.values()]).to.deep.equal([1]);
    expect(scene.bus.queue.numWaiting).to.equal(0);
  });

  it('serial: runs wait for each other; discard: they are dropped; cover: the last one stops the one that runs', async () => {
    begin().startWorker('a');
    const states: Record<string, string[]> = {};
    for (const blocking of ['serial', 'discard', 'cover'] as const) {
      scene.apply(job({ name: blocking, blocking, nodes: [node('work', { shards: { kind: 'count', count: 9 } })] }));
      scene.ask(blocking);
      await scene.clock.pass(150);
      scene.ask(blocking);
      await scene.clock.pass(150);
      scene.ask(blocking);
      await scene.settle();
      states[blocking] = scene.runs.filter((run) => run.job.name === blocking).map(({ state }) => state);
    }
    expect(states).to.deep.equal({
      serial: ['succeeded', 'succeeded', 'succeeded'],
      discard: ['succeeded', 'discarded', 'discarded'],
      cover: ['stopped', 'stopped', 'succeeded'],
    });
  });

  it('a graph with a node that fails skips what needs it, and resumes there', async () => {
    let isFailing = true;
    begin([], true, (task) => ({ ms: 10, isFailing: isFailing && task.key.node === 'b' })).startWorker('a');
    const nodes = [node('a'), node('b', { needs: ['a'] }), node('c', { needs: ['b'] }), node('d', { needs: ['a'] })];
    scene.apply(job({ nodes }));
    const failed = scene.ask('nightly');
    await scene.settle();
    expect(nodeStates(failed)).to.deep.equal({ a: 'succeeded', b: 'failed', c: 'skipped', d: 'succeeded' });
    expect(scene.run(failed)).to.deep.include({
      state: 'failed',
      error: { code: 'TASK_FAILED', message: 'it is to fail' },
    });
    isFailing = false;
    const resumed = scene.ask('nightly', { resume: failed });
    await scene.settle();
    expect(nodeStates(resumed)).to.deep.equal({ a: 'kept', b: 'succeeded', c: 'succeeded', d: 'kept' });
    expect([scene.run(resumed).state, scene.effects.size]).to.deep.equal(['succeeded', 4]);
  });

  it('shards go where the route says, and to others when their worker is gone', async () => {
    begin([], true, () => ({ ms: 1000, isFailing: false }));
    for (const id of ['a', 'b', 'c']) scene.startWorker(id);
    const routes: readonly Route[] = ['round_robin', 'failover', 'consistent_hash', 'least_busy'];
    const nodes = [
      node('broadcast', { shards: { kind: 'broadcast' } }),
      ...routes.map((route) => node(route, { route, shards: { kind: 'count', count: 6 } })),
    ];
    for (const one of nodes) scene.apply(job({ name: one.name, nodes: [one] }));
    const ids = nodes.map(({ name }) => scene.ask(name));
    await scene.clock.pass(500);
    scene.killWorker('b');
    await scene.settle();
    expect(workersOf(ids[0]!, 'broadcast', 3).slice(0, 1)).to.deep.equal(['a']);
    expect(workersOf(ids[2]!, 'failover', 6)).to.deep.equal(Array(6).fill('a'));
    for (const [at, id] of ids.entries()) {
      expect(scene.run(id).state).to.equal('succeeded');
      for (const worker of workersOf(id, nodes[at]!.name, at === 0 ? 3 : 6)) expect(worker).to.be.oneOf(['a', 'c']);
    }
    expect(scene.bus.list('placed')).to.deep.equal([]);
  });

  it('one for each worker waits until a worker lives', async () => {
    begin();
    scene.apply(job({ nodes: [node('work', { shards: { kind: 'broadcast' } })] }));
    const id = scene.ask('nightly');
    await scene.clock.pass(10_000);
    expect(scene.run(id).nodes.work).to.include({ state: 'waiting', shardTotal: null });
    scene.startWorker('a');
    await scene.settle();
    expect(scene.run(id).nodes.work).to.include({ state: 'succeeded', shardTotal: 1 });
  });

  it('a run that is stopped, or takes too long, ends at once, and nobody commits a shard of it any more', async () => {
    begin([], true, () => ({ ms: 60_000, isFailing: false })).startWorker('a');
    const nodes = [node('work', { shards: { kind: 'count', count: 100 } }), node('after', { needs: ['work'] })];
    scene.apply(job({ nodes }));
    scene.apply(job({ name: 'quick', timeoutMs: 5000, nodes }));
    const [stopped, late] = [scene.ask('nightly'), scene.ask('quick')];
    await scene.clock.pass(1000);
    scene.askToStop(stopped);
    await scene.clock.pass(5000);
    expect(scene.run(stopped)).to.include({ state: 'stopped' });
    expect(scene.run(stopped).error?.code).to.equal('RUN_STOPPED');
    expect(scene.run(late)).to.include({ state: 'timed_out' });
    expect(scene.run(late).error?.code).to.equal('TASK_TIMED_OUT');
    expect(nodeStates(late)).to.deep.equal({ work: 'stopped', after: 'stopped' });
    await scene.clock.pass(100_000);
    expect(scene.shard(stopped, 'work', 0)?.state).to.equal('stopped');
    expect(scene.effects.size).to.equal(0);
    expect(scene.bus.queue.numWaiting).to.equal(0);
  });

  it('jobs run behind others, as these ended', async () => {
    begin([], true, (task) => ({ ms: 10, isFailing: task.job === 'bad' })).startWorker('a');
    const after = (name: string, of: string, on: 'success' | 'failure' | 'end'): Job =>
      job({ name, triggers: [{ kind: 'after', job: of, on }] });
    scene.apply(job({ name: 'good' }));
    scene.apply(job({ name: 'bad' }));
    scene.apply(after('one', 'good', 'success'));
    scene.apply(after('two', 'good', 'failure'));
    scene.apply(after('three', 'bad', 'failure'));
    scene.apply(after('four', 'three', 'end'));
    scene.ask('good');
    const bad = scene.ask('bad');
    await scene.clock.pass(10);
    await scene.settle();
    expect(scene.runs.map((run) => run.job.name).sort()).to.deep.equal(['bad', 'four', 'good', 'one', 'three']);
    expect(scene.runs.find((run) => run.job.name === 'three')?.cause).to.deep.equal({ kind: 'after', run: bad });
  });

  it('old runs go with shards, logs and files, and a job that is removed with all of its runs', async () => {
    begin().startWorker('a');
    scene.apply(job({ keepRuns: 1 }));
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      ids.push(scene.ask('nightly'));
      scene.bus.blobs.set(`${ids[i]!}/work/0/1/out`, new Uint8Array(1));
      await scene.settle();
    }
    await scene.clock.pass(10);
    expect(scene.runs.map(({ id }) => id)).to.deep.equal([ids[2]]);
    expect(scene.bus.list('shard').length).to.equal(1);
    expect(scene.bus.removedLogs).to.deep.equal(ids.slice(0, 2));
    expect([...scene.bus.blobs.keys()]).to.deep.equal([`${ids[2]!}/work/0/1/out`]);
    scene.bus.blobs.set('job.nightly/plan', new Uint8Array(1));
    scene.bus.remove('job.nightly');
    await scene.clock.pass(1000);
    expect([...scene.bus.known.keys(), ...scene.bus.blobs.keys()]).to.deep.equal([]);
    expect(scene.bus.schedules.get('nightly')).to.deep.equal([]);
  });

  it('an experiment’s shards are its runs, and a node that can’t be put in line fails with what to do', async () => {
    begin().startWorker('a');
    scene.bus.blobs.set('job.nightly/plan', await buffer(planBytes(planOf([0, 1]))));
    const plan = (name: string, numRuns: number): JobNode =>
      node(name, { work: { kind: 'experiment', plan: 'job.nightly/plan', numRuns } });
    scene.apply(job({ nodes: [plan('two', 2), plan('three', 3), node('x', { work: command('${param.x}') })] }));
    const id = scene.ask('nightly');
    await scene.settle();
    expect(nodeStates(id)).to.deep.equal({ two: 'succeeded', three: 'failed', x: 'failed' });
    expect(scene.run(id).nodes.three!.error).to.include({ code: 'BROKEN_RECORD' });
    expect(scene.run(id).nodes.x!.error!.message).to.match(/give it: --param x=VALUE$/);
    const other = scene.ask('nightly', { resume: id, params: { x: 'y' } });
    await scene.settle();
    expect(nodeStates(other)).to.deep.equal({ two: 'kept', three: 'failed', x: 'succeeded' });
  });

  it('an ask that nothing can come of is answered by a run that says so, or dropped', async () => {
    begin().startWorker('a');
    scene.apply(job());
    const id = scene.ask('nightly', { resume: 'nightly-0' });
    scene.ask('other');
    scene.askToStop('nightly-0');
    await scene.settle();
    await scene.clock.pass(10);
    expect(scene.run(id).error).to.include({ code: 'NO_SUCH_RUN' });
    expect(scene.bus.list('ask')).to.deep.equal([]);
    expect(scene.logged.length).to.equal(2);
  });

  it('what can’t be read is left alone and told, and other jobs go on', async () => {
    begin().startWorker('a');
    for (const key of ['job.bad', 'run.bad', 'ask.bad', 'placed.bad']) scene.bus.write(key, BROKEN, 0);
    scene.bus.write('job.odd', '{"name":"odd","triggers":[],"nodes":[]}', 0);
    scene.apply(job());
    const id = scene.ask('nightly');
    scene.ask('odd');
    scene.fire('bad');
    await scene.clock.pass(10_000);
    expect(scene.run(id).state).to.equal('succeeded');
    expect(scene.bus.known.has('job.bad') && scene.bus.known.has('run.bad')).to.equal(true);
    expect(scene.logged.filter((line) => line.includes('bad')).length).to.be.at.least(2);
  });

  it('10,000 shards are each in effect once', async () => {
    begin([], true, () => ({ ms: 10, isFailing: false }));
    for (const id of ['a', 'b', 'c', 'd']) scene.startWorker(id, 500);
    scene.apply(job({ nodes: [node('work', { shards: { kind: 'count', count: 10_000 } })] }));
    scene.ask('nightly');
    await scene.settle();
    expect(scene.runs.map(({ state }) => state)).to.deep.equal(['succeeded']);
    expect(scene.effects.size).to.equal(10_000);
  });
});
