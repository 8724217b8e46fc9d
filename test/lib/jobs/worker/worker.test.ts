import { expect } from 'chai';
import { readdir, readFile, writeFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Delivery, JobBus, QueuedTask } from '../../../../lib/jobs/base/job_bus.js';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import { deadRecord, shardRecord, type Shard, type ShardKey, type Task } from '../../../../lib/jobs/base/task.js';
import { MAX_LOSSES } from '../../../../lib/jobs/worker/shard_decisions.js';
import { Gate, taskOf } from '../../../kit/jobs/tasks.js';
import { withPlayedWorkers, type Play } from '../../../kit/jobs/worker_scene.js';

const KEY: ShardKey = { run: 'r', node: 'work', index: 0 };
const SOON = { count: 2, backoffMs: 0, maxBackoffMs: 0 };
const queued = (changes: Partial<Task> = {}, id = 'r.work.0.0'): QueuedTask => ({
  ...{ id, to: null },
  task: taskOf('r', 0, { retries: SOON, ...changes }),
});
const done: Play = () => Promise.resolve({ files: null, value: null });
const failing: Play = () => Promise.reject(new JobError('TASK_FAILED', 'it broke; mend it'));

const stateOf = async (bus: JobBus): Promise<Shard['state'] | null> => {
  const record = await bus.records.read(shardRecord(KEY));
  return record === null ? null : (JSON.parse(record.text) as Shard).state;
};
const untilAborted: Play = ({ signal }) =>
  new Promise((_resolve, reject) => {
    const end = (): void => reject(signal.reason as Error);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end);
  });

describe('a worker', () => {
  it('commits what a shard left, with its files and its log', () =>
    withPlayedWorkers(async ({ bus, start, shard, folder }) => {
      await start('w', async (context) => {
        await mkdir(join(context.folder.path, 'sub'));
        await writeFile(join(context.folder.path, 'sub', 'a.txt'), 'hello');
        context.log('a line');
        return { files: null, value: { n: 1 } };
      });
      await bus.tasks.add([queued()]);
      const ended = await shard(KEY);
      if (ended.state !== 'done') expect.fail(JSON.stringify(ended));
      expect(ended).to.deep.include({ value: { n: 1 }, worker: 'w', attempts: 1 });
      expect(ended.files.map(({ name, bytes }) => ({ name, bytes }))).to.deep.equal([{ name: 'sub/a.txt', bytes: 5 }]);
      expect(await text(bus.blobs.get(ended.files[0]!.blob))).to.equal('hello');
      const lines: string[] = [];
      for await (const line of bus.logs.read({ run: 'r' }, null))
        lines.push(`${line.node} ${line.index} ${line.attempt} ${line.text}`);
      expect(lines).to.deep.equal(['work 0 1 a line']);
      expect(await readdir(join(folder, 'scratch'))).to.deep.equal([]);
    }));

  it('has files of the nodes that it needs, and doesn’t keep them again', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      const seen: string[] = [];
      await start('w', async ({ folder, task }) => {
        if (task.key.node === 'work')
          await writeFile(join(folder.path, `${task.key.index}.txt`), `of ${task.key.index}`);
        else
          for (const i of [0, 1])
            seen.push(await readFile(join(folder.path, 'inputs', 'work', `${i}`, `${i}.txt`), 'utf8'));
        return { files: null, value: null };
      });
      await bus.tasks.add([0, 1].map((index) => ({ id: `${index}`, to: null, task: taskOf('r', index) })));
      for (const index of [0, 1]) await shard({ ...KEY, index });
      const sum = { ...KEY, node: 'sum' };
      await bus.tasks.add([
        { id: 's', to: null, task: taskOf('r', 0, { key: sum, inputs: [{ run: 'r', node: 'work' }] }) },
      ]);
      expect(await shard(sum)).to.deep.include({ state: 'done', files: [] });
      expect(seen).to.deep.equal(['of 0', 'of 1']);
    }));

  it('tries what failed again, as often as the task says, and then tells why', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      let numTries = 0;
      await start('w', (context) => (++numTries < 3 ? failing : done)(context));
      await bus.tasks.add([queued()]);
      expect(await shard(KEY)).to.include({ state: 'done', attempts: 3 });
      await bus.tasks.add([{ id: 'x', to: null, task: taskOf('q', 0, { retries: { ...SOON, count: 0 } }) }]);
      numTries = -10;
      const failed = await shard({ ...KEY, run: 'q' });
      expect(failed).to.deep.include({ state: 'failed', error: { code: 'TASK_FAILED', message: 'it broke; mend it' } });
      expect(numTries).to.equal(-9);
    }));

  it('ends what takes too long, and counts that as a failure', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      await start('w', untilAborted);
      await bus.tasks.add([queued({ timeoutMs: 5, retries: { ...SOON, count: 1 } })]);
      const failed = await shard(KEY);
      if (failed.state !== 'failed') expect.fail(failed.state);
      expect(failed.attempts).to.equal(2);
      expect(failed.error).to.deep.include({ code: 'TASK_TIMED_OUT' });
    }));

  it('ends a shard that somebody stopped, and writes nothing more of it', () =>
    withPlayedWorkers(async ({ bus, start }) => {
      const begun = new Gate();
      const ended = new Gate();
      await start('w', async (context) => {
        begun.open();
        return untilAborted(context).finally(() => ended.open());
      });
      await bus.tasks.add([queued()]);
      await begun.opened;
      const stopped: Shard = {
        state: 'stopped',
        error: { code: 'RUN_STOPPED', message: 's' },
        worker: 'lead',
        attempts: 0,
        endedMs: 1,
      };
      await bus.records.write(shardRecord(KEY), JSON.stringify(stopped), 0);
      await ended.opened;
      expect(await stateOf(bus)).to.equal('stopped');
    }));

  it('of two that do the same shard one commits, and the other one’s files go', () =>
    withPlayedWorkers(async ({ bus, start, shard, folder }) => {
      const gates = [new Gate(), new Gate()];
      const both = new Gate();
      let numBegun = 0;
      const play =
        (i: number): Play =>
        async (context) => {
          await writeFile(join(context.folder.path, 'who.txt'), `${i}`);
          if (++numBegun === 2) both.open();
          await gates[i]!.opened;
          return { files: null, value: i };
        };
      const workers = [await start('w0', play(0)), await start('w1', play(1))];
      // One worker was thought dead, and its shard put in line anew.
      await bus.tasks.add([queued({}, 'a'), queued({}, 'b')]);
      await both.opened;
      gates[1]!.open();
      expect(await shard(KEY)).to.deep.include({ value: 1, worker: 'w1' });
      gates[0]!.open();
      await Promise.all(workers.map((worker) => worker.end(60_000)));
      const kept = (await shard(KEY)) as Extract<Shard, { state: 'done' }>;
      expect(kept.value).to.equal(1);
      const tries = await readdir(join(folder, 'jobs', 'files', 'r', 'work', '0'));
      expect(tries).to.have.length(1);
      expect(kept.files[0]!.blob).to.include(tries[0]);
    }));

  it('gives back what it hasn’t finished when it ends, and another one goes on', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      const begun = new Gate();
      const first = await start('w0', (context) => {
        begun.open();
        return untilAborted(context);
      });
      await bus.tasks.add([queued()]);
      await begun.opened;
      await first.end(0);
      expect(await stateOf(bus)).to.equal(null);
      await start('w1', done);
      expect(await shard(KEY)).to.include({ state: 'done', worker: 'w1', attempts: 2 });
    }));

  it('finishes what runs where it has the time for it, and takes nothing new', () =>
    withPlayedWorkers(async ({ bus, start }) => {
      const [begun, goOn] = [new Gate(), new Gate()];
      const worker = await start('w', async (context) => {
        begun.open();
        await goOn.opened;
        return done(context);
      });
      await bus.tasks.add([queued(), { id: 'next', to: null, task: taskOf('next') }]);
      await begun.opened;
      const ended = worker.end(60_000);
      goOn.open();
      await ended;
      expect(await stateOf(bus)).to.equal('done');
      expect(await bus.records.read('shard.next.work.0')).to.equal(null);
    }));

  it('doesn’t do again what is done, nor what it had in hand meanwhile', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      let numTries = 0;
      const [begun, goOn] = [new Gate(), new Gate()];
      const worker = await start(
        'w',
        async (context) => {
          numTries++;
          begun.open();
          await goOn.opened;
          return done(context);
        },
        2,
      );
      await bus.tasks.add([queued({}, 'a')]);
      await begun.opened;
      await bus.tasks.add([queued({}, 'b')]);
      goOn.open();
      await shard(KEY);
      await bus.tasks.add([queued({}, 'c')]);
      await worker.end(60_000);
      expect(numTries).to.equal(1);
    }));

  it('that is silent for long gets the same message again, and nothing of it is lost', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      let numTries = 0;
      const [begun, goOn] = [new Gate(), new Gate()];
      const handlers: ((delivery: Delivery) => Promise<void>)[] = [];
      const silent = {
        ...bus,
        tasks: {
          take: (_worker: string, _width: number, handle: (delivery: Delivery) => Promise<void>) => {
            handlers.push(handle);
            return () => Promise.resolve();
          },
        },
      } as unknown as JobBus;
      await start(
        'w',
        async (context) => {
          if (++numTries > 1) return done(context);
          begun.open();
          await goOn.opened;
          return failing(context);
        },
        2,
        silent,
      );
      const verbs: string[] = [];
      const delivery = (deliveries: number): Delivery => ({
        ...{ task: queued().task, deliveries },
        done: () => Promise.resolve(void verbs.push(`done ${deliveries}`)),
        again: () => Promise.resolve(void verbs.push(`again ${deliveries}`)),
        dead: () => Promise.resolve(void verbs.push(`dead ${deliveries}`)),
      });
      const first = handlers[0]!(delivery(1));
      await begun.opened;
      const second = handlers[0]!(delivery(2));
      goOn.open();
      await Promise.all([first, second]);
      expect(verbs).to.deep.equal(['again 1', 'done 2']);
      expect(await shard(KEY)).to.include({ state: 'done', attempts: 2 });
    }));

  it('ends though the bus doesn’t answer: what it has in hand is delivered again anyway', () =>
    withPlayedWorkers(async ({ bus, start }) => {
      const begun = new Gate();
      const never = new Promise<void>(() => undefined);
      const down = { ...bus, logs: { append: () => never } } as unknown as JobBus;
      const worker = await start(
        'w',
        (context) => {
          context.log('a line that nobody takes');
          begun.open();
          return untilAborted(context);
        },
        1,
        down,
      );
      await bus.tasks.add([queued()]);
      await begun.opened;
      await worker.end(0);
      expect(await stateOf(bus)).to.equal(null);
    }));

  it('doesn’t try for ever what kills workers', () =>
    withPlayedWorkers(async ({ bus, shard, start }) => {
      await start('w', done);
      const told: string[] = [];
      const take = bus.tasks.take('other', 1, () => Promise.resolve());
      await take();
      const delivery: Delivery = {
        ...{ task: taskOf('r', 0), deliveries: MAX_LOSSES + 1 },
        done: () => Promise.resolve(),
        again: () => Promise.resolve(),
        dead: (reason) => Promise.resolve(void told.push(reason)),
      };
      const { tryShard } = await import('../../../../lib/jobs/worker/shard_try.js');
      const ending = new AbortController().signal;
      const host = { worker: 'w', bus, ending, clock: { now: () => 5, after: () => () => undefined } };
      await tryShard(delivery.task, delivery, host as unknown as Parameters<typeof tryShard>[2]);
      expect(await shard(KEY)).to.include({ state: 'failed', endedMs: 5 });
      expect(told).to.have.length(1);
    }));

  it('keeps apart what it can’t read, and its run doesn’t wait for it', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      await start('w', done);
      await bus.tasks.add([queued({ work: { kind: 'dance' } as unknown as Task['work'] })]);
      expect(await shard(KEY)).to.deep.include({ state: 'failed', worker: 'w' });
      expect(await shard(KEY, () => true)).to.have.nested.property('error.code', 'BROKEN_RECORD');
      await new Promise<void>((resolve) => {
        bus.records.watch(deadRecord(KEY), { changed: () => resolve() });
      });
    }));

  it('takes no task with numbers that no file may have', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      await start('w', done);
      const batch = { kind: 'batch', url: 'http://127.0.0.1:9', input: 'x', from: 0, to: 1, concurrency: 1e9 } as const;
      const wrong: readonly Partial<Task>[] = [
        { work: batch },
        { timeoutMs: 1e13 },
        { retries: { ...SOON, count: 1e9 } },
      ];
      for (const [index, changes] of wrong.entries()) {
        const key = { ...KEY, index };
        await bus.tasks.add([queued({ ...changes, key }, `r.work.${index}.0`)]);
        expect(await shard(key)).to.have.nested.property('error.code', 'BROKEN_RECORD');
      }
    }));

  it('tells once that the bus has no room for what a shard left, whose files go', () =>
    withPlayedWorkers(async ({ bus, start, shard }) => {
      const removed: string[] = [];
      const small: JobBus = {
        ...bus,
        records: {
          ...recordsOf(bus),
          write: (key, text, revision) =>
            text.includes('"done"')
              ? Promise.reject(new JobError('TOO_MANY', 'the record is too large; make it smaller'))
              : bus.records.write(key, text, revision),
        },
        blobs: {
          put: (name, content) => bus.blobs.put(name, content),
          get: (name) => bus.blobs.get(name),
          remove: (prefix) => {
            removed.push(prefix);
            return bus.blobs.remove(prefix);
          },
        },
      };
      await start('w', done, 1, small);
      await bus.tasks.add([queued()]);
      expect(await shard(KEY)).to.deep.include({ state: 'failed', attempts: 1 });
      expect(await shard(KEY)).to.have.nested.property('error.code', 'TOO_MANY');
      expect(removed).to.have.length(1);
    }));

  it('keeps a task apart whose shard’s record nobody can read', () =>
    withPlayedWorkers(async ({ bus, start }) => {
      await bus.records.write(shardRecord(KEY), 'nonsense', 0);
      const isApart = new Promise<void>((resolve) => {
        bus.records.watch(deadRecord(KEY), { changed: () => resolve() });
      });
      await start('w', done);
      await bus.tasks.add([queued()]);
      await isApart;
    }));
});

/** Its verbs, which are of its class. */
const recordsOf = ({ records }: JobBus): JobBus['records'] => ({
  read: (key) => records.read(key),
  write: (key, text, revision) => records.write(key, text, revision),
  remove: (key) => records.remove(key),
  list: (prefix) => records.list(prefix),
  watch: (prefix, listener) => records.watch(prefix, listener),
});
