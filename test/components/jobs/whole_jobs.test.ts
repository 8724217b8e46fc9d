/** Whole jobs over NATS, while workers, those that lead among them, and the bus die. With a real nats-server, and processes that work and lead. */
import { expect } from 'chai';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Job } from '../../../lib/jobs/base/job.js';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { runOf } from '../../../lib/jobs/base/parse.js';
import { ENDED, type JobRun } from '../../../lib/jobs/base/run.js';
import { askRecord, jobRecord, runRecord, type Ask } from '../../../lib/jobs/base/task.js';
import { askedRunId } from '../../../lib/jobs/decisions/ids.js';
import { natsServer, type NatsServer } from '../../kit/cluster/nats_server.js';
import { job, node } from '../../kit/jobs/jobs.js';
import { NatsScene } from '../../kit/jobs/nats_scene.js';
import { ShardHistory } from '../../kit/jobs/shard_history.js';
import { Told } from '../../kit/jobs/told.js';
import { WorkerProcess } from '../../kit/jobs/worker_processes.js';

const NUM_SHARDS = 40;
const NUM_WORKERS = 4;
/** Between two deaths. */
const KILL_MS = 2000;

describe('whole jobs over NATS', function () {
  this.timeout(180_000);

  let scene: NatsScene;
  let scratch: string;
  let server: NatsServer;
  let bus: JobBus;
  let history: ShardHistory;
  const runs = new Told<JobRun>();
  const processes: WorkerProcess[] = [];
  let numStarted = 0;

  before(async function () {
    if ((await natsServer()) === null) {
      this.test!.title += ' (no nats-server 2.12 or later on the PATH: go install github.com/nats-io/nats-server/v2)';
      this.skip();
    }
  });
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'expertwire-jobs-'));
    scene = new NatsScene();
    server = await scene.start();
    bus = await scene.open(server.url);
    history = new ShardHistory(bus);
    runs.all.length = 0;
    bus.records.watch('run', {
      changed: (key, text, revision) => {
        if (text !== null) runs.tell(runOf({ key, text, revision }));
      },
    });
  });
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((each) => each.kill()));
    history.stop();
    await scene.close();
    await rm(scratch, { recursive: true, force: true });
  });

  function startWorker(workMs: number): WorkerProcess {
    const worker = new WorkerProcess({
      ...{ url: server.url, id: `w${numStarted++}`, stopAt: null, silenceMs: 1000, workMs, leads: true, scratch },
    });
    processes.push(worker);
    return worker;
  }

  const apply = (applied: Job): Promise<number> =>
    bus.records.write(jobRecord(applied.name), JSON.stringify(applied), 0);

  /** Asks for a run; gives its id. */
  async function ask(name: string, salt: string, resume: string | null = null): Promise<string> {
    const id = askedRunId(name, 1_800_000_000_000, salt);
    const asked: Ask = { kind: 'run', job: name, params: {}, atMs: 1_800_000_000_000, resume };
    await bus.records.write(askRecord(id), JSON.stringify(asked), 0);
    return id;
  }

  /** Its record, once it has ended. */
  async function ended(id: string): Promise<JobRun> {
    await runs.until((all) => all.some((run) => run.id === id && ENDED.has(run.state)));
    return runOf((await bus.records.read(runRecord(id)))!);
  }

  const states = ({ nodes }: JobRun): Record<string, string> =>
    Object.fromEntries(Object.entries(nodes).map(([name, { state }]) => [name, state]));

  it('40 shards over 4 workers that lead too, one killed every 2 s, and a bus that is killed once: each is done once', async () => {
    for (let i = 0; i < NUM_WORKERS; i++) startWorker(800);
    await apply(job({ name: 'wide', nodes: [node('work', { shards: { kind: 'count', count: NUM_SHARDS } })] }));
    const id = await ask('wide', 'a');
    await history.done(1);
    const end = ended(id);
    const isOver = (): boolean => runs.all.some((run) => run.id === id && ENDED.has(run.state));
    for (let numKilled = 1; !isOver(); numKilled++) {
      await Promise.race([end, delay(KILL_MS)]);
      await processes.shift()!.kill();
      startWorker(800);
      if (numKilled === 2) await server.restart();
    }
    expect((await end).state).to.equal('succeeded');
    expect(history.ended('done').size).to.equal(NUM_SHARDS);
    await history.expectOnce();
  });

  it('of runs that are asked for while one runs, `discard` drops all', async () => {
    for (let i = 0; i < 2; i++) startWorker(1000);
    await apply(job({ name: 'alone', blocking: 'discard' }));
    const first = await ask('alone', 'a');
    await runs.until((all) => all.some(({ id, state }) => id === first && state === 'running'));
    const others = [await ask('alone', 'b'), await ask('alone', 'c')];
    const ends = await Promise.all([first, ...others].map(ended));
    expect(ends.map(({ state }) => state)).to.deep.equal(['succeeded', 'discarded', 'discarded']);
    expect(history.ended('done').size).to.equal(1);
  });

  it('a node that fails has those behind it skipped, and a run that resumes does these alone', async () => {
    startWorker(10);
    const flag = join(scratch, 'flag');
    const retries = { count: 0, backoffMs: 1, maxBackoffMs: 1 };
    const failing = { kind: 'command', args: ['fail_without', flag] } as const;
    await apply(
      job({
        name: 'graph',
        nodes: [
          node('first'),
          node('second', { needs: ['first'], work: failing, retries }),
          node('third', { needs: ['second'] }),
          node('beside', { needs: ['first'] }),
        ],
      }),
    );
    const broken = await ended(await ask('graph', 'a'));
    expect(broken.state).to.equal('failed');
    expect(states(broken)).to.deep.equal({
      ...{ first: 'succeeded', second: 'failed', third: 'skipped', beside: 'succeeded' },
    });
    await writeFile(flag, '');
    const resumed = await ended(await ask('graph', 'b', broken.id));
    expect(resumed.state).to.equal('succeeded');
    expect(states(resumed)).to.deep.equal({ first: 'kept', second: 'succeeded', third: 'succeeded', beside: 'kept' });
    await history.expectOnce();
  });
});
