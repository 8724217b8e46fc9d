/** Whoever leads, over a real bus: shards are put in line, counted and end runs, and another leader goes on. */
import { expect } from 'chai';
import type { Job } from '../../lib/jobs/base/job.js';
import type { Delivery, JobBus } from '../../lib/jobs/base/job_bus.js';
import type { JobRun } from '../../lib/jobs/base/run.js';
import { askRecord, jobRecord, runRecord, shardRecord, type Ask, type Shard } from '../../lib/jobs/base/task.js';
import { coordinate } from '../../lib/jobs/coordinator/coordinate.js';
import { askedRunId, stopAskId } from '../../lib/jobs/decisions/ids.js';
import { systemClock } from '../../lib/jobs/local/clock.js';
import { job, node } from '../kit/jobs/jobs.js';
import type { JobBusUnderTest } from './job_bus/scene.js';
import { workerOf } from './job_bus/roster_contract.js';

/** Declares the suite. `open`: a bus with nothing in it. */
export function coordinatorContract(name: string, open: () => Promise<JobBusUnderTest>): void {
  describe(`who leads (${name})`, () => {
    let underTest: JobBusUnderTest;
    beforeEach(async () => {
      underTest = await open();
    });
    afterEach(() => underTest.close());

    it('runs come to their ends, one behind the other, whoever leads meanwhile', async () => {
      const bus = await underTest.connect();
      const [first, second] = [leads(bus, 'a'), leads(await underTest.connect(), 'b')];
      const worker = await works(bus);
      const many = [
        node('many', { shards: { kind: 'count', count: 200 } }),
        node('routed', { needs: ['many'], route: 'round_robin', shards: { kind: 'count', count: 5 } }),
      ];
      await apply(bus, job({ nodes: many }));
      await apply(bus, job({ name: 'behind', triggers: [{ kind: 'after', job: 'nightly', on: 'success' }] }));
      const run = await ask(bus, 'nightly');
      await comes(bus, 'shard', (_, text) => text !== null);
      await first.end();
      expect((await settled(bus, (each) => each.job.name === 'behind')).state).to.equal('succeeded');
      expect((await settled(bus, ({ id }) => id === run)).state).to.equal('succeeded');
      expect((await bus.records.list(`shard.${run}`)).length).to.equal(205);
      expect(await bus.records.list('placed')).to.deep.equal([]);
      await second.end();
      await worker.end();
    });

    it('a schedule of a second makes a run each second, and none when the job is gone', async () => {
      const bus = await underTest.connect();
      const leader = leads(bus, 'a');
      const worker = await works(bus);
      await apply(bus, job({ triggers: [{ kind: 'every', everyMs: 1000 }], blocking: 'discard' }));
      const dues = new Set<number>();
      await comes(bus, 'run', (_, text) => {
        if (text !== null && (JSON.parse(text) as JobRun).state === 'succeeded')
          dues.add((JSON.parse(text) as JobRun).dueMs);
        return dues.size === 2;
      });
      const [one, two] = [...dues] as [number, number];
      expect(two - one).to.equal(1000);
      await bus.records.remove(jobRecord('nightly'));
      await comes(bus, 'scheduled', (_, text) => text === null);
      expect(await bus.records.list('run')).to.deep.equal([]);
      await leader.end();
      await worker.end();
    });

    it('one that is stopped ends, and nobody commits what was open', async () => {
      const bus = await underTest.connect();
      const leader = leads(bus, 'a');
      await apply(bus, job({ nodes: [node('work', { shards: { kind: 'count', count: 50 } })] }));
      const run = await ask(bus, 'nightly');
      await comes(bus, 'run', (_, text) => text !== null && (JSON.parse(text) as JobRun).state === 'running');
      await tell(bus, stopAskId(run), { kind: 'stop', run, atMs: Date.now() });
      expect((await settled(bus, ({ id }) => id === run)).state).to.equal('stopped');
      const states = (await bus.records.list(`shard.${run}`)).map(({ text }) => (JSON.parse(text) as Shard).state);
      expect(states).to.deep.equal(Array(50).fill('stopped'));
      await leader.end();
    });

    it('a bus that is started anew goes on with what was there', async function () {
      if (underTest.restart === null) return this.skip();
      const before = await underTest.connect();
      const leader = leads(before, 'a');
      await apply(before, job({ nodes: [node('work', { shards: { kind: 'count', count: 5 } })] }));
      const run = await ask(before, 'nightly');
      await comes(
        before,
        'run',
        (_, text) => text !== null && (JSON.parse(text) as JobRun).nodes.work?.state === 'running',
      );
      await leader.end();
      const bus = await underTest.restart();
      const [next, worker] = [leads(bus, 'a'), await works(bus)];
      expect((await settled(bus, ({ id }) => id === run)).state).to.equal('succeeded');
      await next.end();
      await worker.end();
    });
  });
}

interface Going {
  end(): Promise<void>;
}

function leads(bus: JobBus, id: string): Going {
  const ending = new AbortController();
  const led = coordinate(bus, { id, clock: systemClock, log: () => undefined }, ending.signal);
  return {
    end: () => {
      ending.abort();
      return led;
    },
  };
}

/** A worker that does nothing, and commits that. */
async function works(bus: JobBus): Promise<Going> {
  const seat = await bus.roster.enter(workerOf('worker'));
  const stop = bus.tasks.take('worker', 16, (delivery) => commit(bus, delivery));
  return {
    end: async () => {
      await stop();
      await seat.leave();
    },
  };
}

async function commit(bus: JobBus, delivery: Delivery): Promise<void> {
  const times = { beganMs: Date.now(), endedMs: Date.now() };
  const done: Shard = { state: 'done', files: [], value: null, worker: 'worker', attempts: 1, ...times };
  await bus.records.write(shardRecord(delivery.task.key), JSON.stringify(done), 0).catch(() => 0);
  await delivery.done();
}

const apply = (bus: JobBus, of: Job): Promise<number> => bus.records.write(jobRecord(of.name), JSON.stringify(of), 0);

async function ask(bus: JobBus, of: string): Promise<string> {
  const atMs = Date.now();
  const id = askedRunId(of, atMs, 'a');
  await tell(bus, id, { kind: 'run', job: of, params: {}, atMs, resume: null });
  return id;
}

const tell = (bus: JobBus, id: string, what: Ask): Promise<number> =>
  bus.records.write(askRecord(id), JSON.stringify(what), 0);

/** Waits for a record. */
const comes = (bus: JobBus, prefix: string, isIt: (key: string, text: string | null) => boolean): Promise<void> =>
  new Promise((resolve) => {
    const stop = bus.records.watch(prefix, {
      changed: (key, text) => {
        if (!isIt(key, text)) return;
        resolve();
        stop();
      },
    });
  });

async function settled(bus: JobBus, isIt: (run: JobRun) => boolean): Promise<JobRun> {
  let found: JobRun | null = null;
  await comes(bus, 'run', (key, text) => {
    const run = text === null ? null : (JSON.parse(text) as JobRun);
    if (run?.isSettled === true && isIt(run) && key === runRecord(run.id)) found = run;
    return found !== null;
  });
  return found!;
}
