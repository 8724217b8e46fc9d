/** A process with a worker over NATS, which may lead too, and waits at one moment of a shard until it is told to go on. */
import { existsSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Delivery, JobBus } from '../../../lib/jobs/base/job_bus.js';
import { coordinate } from '../../../lib/jobs/coordinator/coordinate.js';
import { systemClock } from '../../../lib/jobs/local/clock.js';
import { openNatsJobBus } from '../../../lib/jobs/nats/nats_job_bus.js';
import type { TryContext, TryResult } from '../../../lib/jobs/worker/execution.js';
import { Worker } from '../../../lib/jobs/worker/worker.js';
import { natsSettings } from './nats_scene.js';
import type { Moment, WorkerNews, WorkerOrder } from './worker_processes.js';

const order = JSON.parse(process.argv[2]!) as WorkerOrder;
const tell = (news: WorkerNews): void => void process.send!(news);
let isToStop = order.stopAt !== null;
let goOn: () => void = () => undefined;
const told = new Promise<void>((resolve) => (goOn = resolve));
process.on('message', () => goOn()); // it is told nothing else
process.on('disconnect', () => process.exit());

/** The first time of the one that it stops at. */
async function at(moment: Moment): Promise<void> {
  if (moment !== order.stopAt || !isToStop) return;
  isToStop = false;
  tell({ kind: 'at', moment });
  await told;
}

/** A bus that tells of moments. */
function watched(bus: JobBus): JobBus {
  const { records, blobs, tasks } = bus;
  const isShard = (key: string): boolean => key.startsWith('shard.');
  return {
    ...{ schedules: bus.schedules, logs: bus.logs, roster: bus.roster, close: () => bus.close() },
    records: {
      read: async (key) => {
        const record = await records.read(key);
        if (isShard(key)) await at('read');
        return record;
      },
      write: async (key, text, revision) => {
        if (isShard(key)) await at('before commit');
        const next = await records.write(key, text, revision);
        if (isShard(key)) await at('committed');
        return next;
      },
      remove: (key) => records.remove(key),
      list: (prefix) => records.list(prefix),
      watch: (prefix, listener) => records.watch(prefix, listener),
    },
    blobs: {
      put: async (name, content) => {
        const size = await blobs.put(name, content);
        await at('files kept');
        return size;
      },
      get: (name) => blobs.get(name),
      remove: (prefix) => blobs.remove(prefix),
    },
    tasks: {
      isDurable: tasks.isDurable,
      add: (added) => tasks.add(added),
      drop: (what) => tasks.drop(what),
      take: (worker, width, handle) =>
        tasks.take(worker, width, async (delivery) => {
          await at('taken');
          try {
            await handle(watchedDelivery(delivery));
          } finally {
            tell({ kind: 'over' });
          }
        }),
    },
  };
}

const watchedDelivery = (delivery: Delivery): Delivery => ({
  task: delivery.task,
  deliveries: delivery.deliveries,
  done: async () => {
    await delivery.done();
    await at('acknowledged');
  },
  again: (ms) => delivery.again(ms),
  dead: (reason) => delivery.dead(reason),
});

/** Leaves a file with its index; `fail_without FILE` fails as long as that isn't there. */
async function play({ task, folder, signal }: TryContext): Promise<TryResult> {
  await at('begun');
  await delay(order.workMs, undefined, { signal });
  const [word, file] = task.work.kind === 'command' ? task.work.args : [];
  if (word === 'fail_without' && !existsSync(file!)) throw new Error(`${file!} is not there`);
  await writeFile(join(folder.path, 'out.txt'), `${task.key.index}`);
  await at('worked');
  return { files: null, value: { worker: order.id } };
}

const { url, id, silenceMs, scratch } = order;
const bus = watched(await openNatsJobBus(natsSettings(url), {}, { silenceMs }));
const rights = { models: [], canLoadCode: false, servers: [] };
await Worker.start({
  ...{ bus, clock: systemClock, scratch: await mkdtemp(join(scratch, `${id}-`)), execute: play },
  record: { id, host: 'here', pid: process.pid, version: '0', width: 1, startedMs: Date.now() },
  context: { rights, realPath: () => null, env: {}, apiKey: null, program: [], graceMs: 0 },
});
tell({ kind: 'works' });
if (order.leads) {
  const log = (text: string): void => tell({ kind: 'log', text });
  await coordinate(bus, { id, clock: systemClock, log, goneAfterMs: 1000 }, new AbortController().signal);
}
