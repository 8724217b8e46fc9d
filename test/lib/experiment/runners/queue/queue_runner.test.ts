import { expect } from 'chai';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ExperimentError } from '../../../../../lib/experiment/base/errors.js';
import { QueueRunner, type QueueRunnerOptions } from '../../../../../lib/experiment/runners/queue/queue_runner.js';
import { endOfFailed, sessionOf } from '../../../../../lib/experiment/runners/queue/run_tasks.js';
import { JobError } from '../../../../../lib/jobs/base/errors.js';
import type { JobBus } from '../../../../../lib/jobs/base/job_bus.js';
import { openLocalJobBus } from '../../../../../lib/jobs/local/local_job_bus.js';
import { describeRunner } from '../../../../contracts/runner_contract.js';
import { measuringWorker } from '../../../../kit/experiment/measuring_worker.js';
import { plannedRun, runFolder } from '../../../../kit/experiment/runs.js';
import { Processes, until } from '../../../../kit/processes/processes.js';
import { errorOf } from '../../../../kit/rejects.js';

const never = new AbortController().signal;
const TIMEOUT_MS = 40_000;
const SESSION = sessionOf('played', 'here');

const processes = new Processes();
before(() => processes.markThisProcess());
afterEach(processes.expectNone);

let dir: string;
let bus: JobBus;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'expertwire-test-'));
  await mkdir(join(dir, 'scratch'));
  bus = await openLocalJobBus(join(dir, 'jobs'), { isDurable: false });
});
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await bus.close();
  await rm(dir, { recursive: true });
});
const ends: (() => Promise<void>)[] = [];

/** The bus outlives the runner: its workers leave first. */
const runnerOn = (over: Partial<QueueRunnerOptions> = {}): QueueRunner =>
  new QueueRunner({ bus: { ...bus, close: () => Promise.resolve() }, session: SESSION, width: 8, ...over });

const work = async (graceMs = 5000, id = 'one'): Promise<void> => {
  const worker = await measuringWorker({ bus, id, scratch: join(dir, 'scratch'), graceMs });
  ends.push(() => worker.end(0));
};

const hasBegun = (): boolean =>
  readdirSync(join(dir, 'scratch'), { recursive: true, encoding: 'utf8' }).some((name) => name.endsWith('began'));

describeRunner(
  'on a bus',
  async (graceMs) => {
    await work(graceMs, `worker-${ends.length}`);
    return runnerOn();
  },
  processes,
  { endsLater: true, waitsForLast: false, hasBegun },
);

describe('a runner on a bus', () => {
  it('puts all in line at once; whatever worker is free takes one, and nothing is left on the bus', async () => {
    const runner = runnerOn();
    const folders: string[] = [];
    for (let seed = 0; seed < 4; seed++)
      folders.push(await runFolder(dir, plannedRun({ seed, workload: { play: 'result', value: seed } })));
    const running = Promise.all(folders.map((folder) => runner.run(folder, TIMEOUT_MS, never)));
    await Promise.all([work(5000, 'one'), work(5000, 'two')]);
    const values = (await running).map(
      (end) => end.status === 'ok' && [end.result.metrics.value, end.times !== undefined],
    );
    expect(values).to.deep.equal([0, 1, 2, 3].map((value) => [value, true]));
    await runner.close();
    expect(await bus.records.list('shard')).to.deep.equal([]);
  });

  it('says once that no worker is there', async () => {
    const told: string[] = [];
    const runner = runnerOn({ onNotice: (line) => void told.push(line) });
    await until(
      () => told.length > 0,
      () => 'nothing was told',
    );
    expect(told).to.deep.equal([
      'no worker takes runs yet: start `expertwire worker --bus …` on any machine that sees the bus',
    ]);
    await runner.close();
  });

  it('takes what an earlier one, which was killed, had put in line', async () => {
    const folder = await runFolder(dir, plannedRun({ workload: { play: 'result', value: 5 } }));
    void runnerOn()
      .run(folder, TIMEOUT_MS, never)
      .catch(() => undefined); // nobody looks any more
    await work();
    await until(
      () => existsSync(join(folder, 'result.json')),
      () => 'it was not done',
    );
    await rm(join(folder, 'result.json'));
    const next = runnerOn();
    const end = await next.run(folder, TIMEOUT_MS, never);
    expect(end.status === 'ok' && end.result.metrics.value).to.equal(5);
    await next.close();
  });

  it('keeps what a run said that failed', async () => {
    await work();
    const folder = await runFolder(dir, plannedRun({ workload: { play: 'exit' } }));
    const runner = runnerOn();
    expect((await runner.run(folder, TIMEOUT_MS, never)).status).to.equal('failed');
    expect(existsSync(join(folder, 'log.txt'))).to.equal(true);
    await runner.close();
  });

  it('ends all where the bus is gone', async () => {
    const tasks: JobBus['tasks'] = {
      isDurable: true,
      take: () => () => Promise.resolve(),
      drop: () => Promise.resolve(),
      add: () => Promise.reject(new JobError('BUS_FAILED', 'no bus; start it')),
    };
    const runner = runnerOn({ bus: { ...bus, tasks, close: () => Promise.resolve() } });
    const folder = await runFolder(dir, plannedRun());
    const error = await errorOf(ExperimentError, () => runner.run(folder, TIMEOUT_MS, never));
    expect(error.message).to.equal('RUNNER_FAILED: no bus; start it');
    await runner.close();
  });

  it('tells who refused a run, and what was stopped by others', () => {
    const end = { worker: 'w1', attempts: 1, endedMs: 0 };
    const refused = { code: 'NOT_ALLOWED', message: 'no such model here; give --models' };
    expect(endOfFailed({ state: 'failed', error: refused, ...end })).to.deep.equal({
      status: 'failed',
      error: { code: 'NOT_ALLOWED', message: 'worker w1 refuses: no such model here; give --models' },
    });
    const stopped = endOfFailed({ state: 'stopped', error: refused, ...end });
    expect(stopped.status !== 'ok' && stopped.error.message).to.match(
      /^somebody stopped the run; run the same command/,
    );
  });

  it('has one name on the bus for one folder of results', () => {
    expect(sessionOf('a.b c', 'host:/r')).to.match(/^exp-a-b-c-[0-9a-f]{12}$/);
    expect(sessionOf('x', 'host:/r')).to.not.equal(sessionOf('x', 'host:/s'));
  });
});
