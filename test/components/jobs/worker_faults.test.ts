/** A worker that is killed, stopped, or cut off at each moment of a shard: none is lost, and none is committed twice. With a real nats-server. */
import { expect } from 'chai';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { natsServer, type NatsServer } from '../../kit/cluster/nats_server.js';
import type { TcpRelay } from '../../kit/cluster/tcp_relay.js';
import { NatsScene } from '../../kit/jobs/nats_scene.js';
import { ShardHistory } from '../../kit/jobs/shard_history.js';
import { queued } from '../../kit/jobs/tasks.js';
import { MOMENTS, WorkerProcess, type Moment } from '../../kit/jobs/worker_processes.js';

/** Times are short: who says nothing for so long has its task taken away. */
const SILENCE_MS = 1000;
const NUM_SHARDS = 3;

describe('a worker of jobs over NATS', function () {
  this.timeout(60_000);

  let scene: NatsScene;
  let scratch: string;
  const processes: WorkerProcess[] = [];
  let bus: JobBus;
  let server: NatsServer;
  let relay: TcpRelay;
  let history: ShardHistory;

  before(async function () {
    if ((await natsServer()) === null) {
      this.test!.title += ' (no nats-server 2.12 or later on the PATH: go install github.com/nats-io/nats-server/v2)';
      this.skip();
    }
  });
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'expertwire-workers-'));
    scene = new NatsScene();
  });
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((each) => each.kill()));
    history.stop();
    await scene.close();
    await rm(scratch, { recursive: true, force: true });
  });

  /** A worker that has taken one of three shards, and is at that moment of it. */
  async function workerAt(moment: Moment): Promise<WorkerProcess> {
    server = await scene.start();
    const network = await scene.relay(server);
    ({ relay } = network);
    bus = await scene.open(server.url);
    history = new ShardHistory(bus);
    await bus.tasks.add(Array.from({ length: NUM_SHARDS }, (_, index) => queued('r1', index)));
    const worker = started('first', network.url, moment);
    await worker.told.until((all) => all.includes(`at ${moment}`));
    return worker;
  }

  function started(id: string, url: string, stopAt: Moment | null): WorkerProcess {
    const worker = new WorkerProcess({
      ...{ url, id, stopAt, scratch, silenceMs: SILENCE_MS, workMs: 0, leads: false },
    });
    processes.push(worker);
    return worker;
  }

  /** Another worker does what there is to do. */
  async function othersDoIt(): Promise<void> {
    started('second', server.url, null);
    await history.done(NUM_SHARDS);
  }

  /** All that is left of the shards is what was committed first. */
  async function expectAllOnce(): Promise<void> {
    await history.expectOnce();
    expect([...history.ended('done').keys()].sort()).to.deep.equal(
      Array.from({ length: NUM_SHARDS }, (_, index) => `shard.r1.work.${index}`),
    );
  }

  for (const moment of MOMENTS) {
    it(`that is killed when a shard is ${moment} loses none, and repeats no commit`, async () => {
      const worker = await workerAt(moment);
      await worker.kill();
      await othersDoIt();
      await expectAllOnce();
    });

    it(`that is stopped when a shard is ${moment}, and goes on when others have done it, changes nothing`, async () => {
      const worker = await workerAt(moment);
      worker.signal('SIGSTOP');
      worker.goOn();
      await othersDoIt();
      worker.signal('SIGCONT');
      await worker.told.until((all) => all.includes('over'));
      await expectAllOnce();
    });

    it(`that loses the bus when a shard is ${moment}, and goes on without it, changes nothing`, async () => {
      const worker = await workerAt(moment);
      relay.freeze();
      worker.goOn();
      await othersDoIt();
      relay.thaw();
      await worker.told.until((all) => all.includes('over'));
      await expectAllOnce();
    });
  }

  it('whose commit came to the bus, but not the answer, has committed once, and its files stay', async () => {
    const worker = await workerAt('before commit');
    relay.holdAnswers();
    worker.goOn();
    await history.done(1);
    relay.cut();
    await worker.told.until((all) => all.includes('over'));
    await history.done(NUM_SHARDS);
    await expectAllOnce();
  });
});
