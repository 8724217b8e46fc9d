import { expect } from 'chai';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { endedRun } from '../../../../lib/commands/jobs/ended_run.js';
import { jobs } from '../../../../lib/commands/jobs/jobs.js';
import type { JobsArgs } from '../../../../lib/commands/jobs/jobs_options.js';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { JobError } from '../../../../lib/jobs/base/errors.js';
import type { JobBus } from '../../../../lib/jobs/base/job_bus.js';
import type { JobRun, NodeRun } from '../../../../lib/jobs/base/run.js';
import { jobRecord, runRecord, shardRecord, type Ask, type Shard } from '../../../../lib/jobs/base/task.js';
import { openLocalJobBus } from '../../../../lib/jobs/local/local_job_bus.js';
import { job, node, runOf } from '../../../kit/jobs/jobs.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const DUE = Date.UTC(2026, 10, 30, 3);
const STOP = { kind: 'stop', run: 'nightly-2' };

/** A folder of jobs that a worker's process has, and commands beside it. */
interface Scene {
  readonly bus: JobBus;
  readonly dir: string;
  readonly run: (args: Omit<JobsArgs, 'folder'>) => Promise<string>;
  readonly told: (args: Omit<JobsArgs, 'folder'>) => Promise<string>;
}

const withScene = (use: (scene: Scene) => Promise<void>): Promise<void> =>
  withTempFolder(async (dir) => {
    const folder = join(dir, 'jobs');
    const bus = await openLocalJobBus(folder);
    const call = async (
      args: Omit<JobsArgs, 'folder'>,
    ): Promise<{ readonly printed: string; readonly told: string }> => {
      const context = commandContext();
      await jobs({ ...args, folder }, context);
      return { printed: context.printed(), told: context.told() };
    };
    try {
      await use({
        bus,
        dir,
        run: async (args) => (await call(args)).printed,
        told: async (args) => (await call(args)).told,
      });
    } finally {
      await bus.close();
    }
  });

const ENDED: NodeRun = {
  state: 'succeeded',
  shardTotal: 2,
  of: 'nightly-1',
  beganMs: DUE,
  endedMs: DUE + 5000,
  error: null,
};
const NIGHTLY = job({
  nodes: [node('work'), node('sum', { needs: ['work'] })],
  triggers: [{ kind: 'every', everyMs: 60_000 }],
});

async function withRuns({ bus }: Scene): Promise<void> {
  const first: JobRun = runOf(NIGHTLY, 'nightly-1', DUE, {
    ...{ state: 'failed', beganMs: DUE, endedMs: DUE + 5000, error: { code: 'TASK_FAILED', message: 'it broke' } },
    nodes: {
      work: ENDED,
      sum: { ...ENDED, state: 'failed', shardTotal: 1, error: { code: 'TASK_FAILED', message: 'it broke' } },
    },
  });
  const second = runOf(NIGHTLY, 'nightly-2', DUE + 60_000, { state: 'running', beganMs: DUE + 60_000 });
  await bus.records.write(jobRecord('nightly'), JSON.stringify(NIGHTLY), 0);
  for (const run of [first, second]) await bus.records.write(runRecord(run.id), JSON.stringify(run), 0);
}

describe('expertwire jobs', () => {
  it('apply keeps a job once, and nothing of a file that is wrong', () =>
    withScene(async ({ bus, dir, run }) => {
      const file = join(dir, 'look.yaml');
      await writeFile(file, 'name: look\nnodes: { main: { command: [doctor] } }\n');
      expect(await run({ action: 'apply', names: [file], dryRun: true })).to.match(
        /^checked: look \(when it is asked for\): main \(command\)\n$/,
      );
      expect(await bus.records.read(jobRecord('look'))).to.equal(null);
      expect(await run({ action: 'apply', names: [file] })).to.match(/^applied: look/);
      expect(await run({ action: 'apply', names: [file] })).to.match(/^unchanged: look/);
      const other = join(dir, 'other.yaml');
      await writeFile(other, 'name: other\nnodes: { main: { command: [rm] } }\n');
      await errorOf(ConfigError, () => run({ action: 'apply', names: [file, other] }));
      expect(await errorOf(UsageError, () => run({ action: 'apply', names: [file, file] }))).to.match(
        /two files have a job look/,
      );
    }));

  it('ls tells of jobs, runs, workers and dead tasks', () =>
    withScene(async (scene) => {
      const { bus, run } = scene;
      expect(await run({ action: 'ls' })).to.match(/^no jobs; expertwire jobs apply/);
      await withRuns(scene);
      const list = (await run({ action: 'ls' })).split('\n').map((line) => line.split(/ {2,}/));
      expect(list[1]).to.deep.equal(['nightly', 'every 60 s', 'nightly-2', 'running']);
      const runs = (await run({ action: 'ls', runs: true, names: ['nightly'] }))
        .split('\n')
        .map((line) => line.split(/ {2,}/));
      expect(runs[2]).to.deep.equal([
        'nightly-1',
        'failed',
        '2026-11-30T03:00:00.000Z',
        '5 s',
        '1/2',
        'TASK_FAILED: it broke',
      ]);
      expect(await run({ action: 'ls', workers: true })).to.match(/^no worker is there/);
      const seat = await bus.roster.enter({
        id: 'w1',
        host: 'h',
        pid: 7,
        version: '0',
        width: 2,
        numRunning: 1,
        startedMs: DUE,
      });
      seat.update({ id: 'w1', host: 'h', pid: 7, version: '0', width: 2, numRunning: 2, startedMs: DUE });
      expect(await run({ action: 'ls', dead: true })).to.equal('no dead tasks\n');
      expect(JSON.parse((await run({ action: 'ls', runs: true, json: true })).split('\n')[0]!)).to.include({
        id: 'nightly-2',
      });
      expect(await errorOf(UsageError, () => run({ action: 'ls', runs: true, dead: true }))).to.match(
        /different lists/,
      );
    }));

  it('run asks for a run, with the parameters that the job needs', () =>
    withScene(async (scene) => {
      const { bus, run, told } = scene;
      const greet = job({
        name: 'greet',
        nodes: [node('work', { work: { kind: 'command', args: ['generate', '--prompt', '${param.who}'] } })],
      });
      await bus.records.write(jobRecord('greet'), JSON.stringify(greet), 0);
      const id = (await run({ action: 'run', names: ['greet'], param: ['who=a=b'] })).trim();
      expect(id).to.match(/^greet-\d{8}-\d{6}(-\d{3})?-[0-9a-f]{8}$/);
      const ask = await asked(bus, (each) => each.kind === 'run');
      expect(ask).to.deep.include({ kind: 'run', job: 'greet', params: { who: 'a=b' }, resume: null });
      expect(await told({ action: 'run', names: ['greet'], param: ['who=c'] })).to.match(/no worker is there/);
      const wrong = async (param: readonly string[]) =>
        (await errorOf(UsageError, () => run({ action: 'run', names: ['greet'], param }))).message;
      expect(await wrong([])).to.match(/needs the parameter who; give --param who=VALUE/);
      expect(await wrong(['hwo=1'])).to.match(/no parameter hwo; did you mean who\?/);
      expect(await wrong(['who'])).to.match(/is not KEY=VALUE/);
      const { message } = await errorOf(JobError, () => run({ action: 'run', names: ['gret'] }));
      expect(message).to.match(/^NO_SUCH_JOB: .*did you mean greet\?/);
    }));

  it('run --wait ends where the run was removed, or never made', () =>
    withScene(async (scene) => {
      const { bus } = scene;
      await withRuns(scene);
      const { signal } = new AbortController();
      expect((await endedRun(bus, 'nightly-1', signal)).state).to.equal('failed');
      expect((await errorOf(JobError, () => endedRun(bus, 'nope-1', signal))).code).to.equal('NO_SUCH_RUN');
      const waiting = errorOf(JobError, () => endedRun(bus, 'nightly-2', signal));
      await bus.records.remove(runRecord('nightly-2'));
      expect((await waiting).code).to.equal('NO_SUCH_RUN');
      await bus.records.write('ask.nightly-3', '{}', 0);
      const dropped = errorOf(JobError, () => endedRun(bus, 'nightly-3', signal));
      await bus.records.remove('ask.nightly-3');
      expect((await dropped).message).to.match(/it or its job was removed/);
    }));

  it('stop asks for the end of what runs, and remove takes the job away', () =>
    withScene(async (scene) => {
      const { bus, run } = scene;
      await withRuns(scene);
      expect(await run({ action: 'stop', names: ['nightly'] })).to.equal('stopping: nightly-2\n');
      expect(await asked(bus, (each) => each.kind === 'stop')).to.deep.include(STOP);
      expect(await run({ action: 'stop', names: ['nightly-2'] })).to.equal('stopping: nightly-2\n');
      expect(await run({ action: 'stop', names: ['nightly-1'] })).to.equal('nothing runs: nightly-1 is failed\n');
      expect((await errorOf(JobError, () => run({ action: 'stop', names: ['nope/..'] }))).code).to.equal('NO_SUCH_RUN');
      expect(await run({ action: 'remove', names: ['nightly'] })).to.equal('removed: nightly\n');
      expect(await run({ action: 'ls' })).to.match(/^no jobs/);
    }));

  it('logs tells which shard and which try a line is of, and nothing that a terminal obeys', () =>
    withScene(async (scene) => {
      const { bus, run } = scene;
      await withRuns(scene);
      const line = { run: 'nightly-1', node: 'work', index: 1, attempt: 1, atMs: DUE, text: 'a\u001b[2J' };
      await bus.logs.append([line, { ...line, attempt: 2, text: 'b' }, { ...line, node: 'sum', index: 0, text: 'c' }]);
      expect(await run({ action: 'logs', names: ['nightly-1'] })).to.equal(
        'work/1 | a\\u001b[2J\nwork/1#2 | b\nsum/0 | c\n',
      );
      expect(await run({ action: 'logs', names: ['nightly-1'], node: 'sum', follow: true })).to.equal('sum/0 | c\n');
      expect(await errorOf(UsageError, () => run({ action: 'logs', names: ['nightly-1'], node: 'x' }))).to.match(
        /it has work, sum/,
      );
    }));

  it('fetch writes files of each node, and over nothing', () =>
    withScene(async (scene) => {
      const { bus, dir, run } = scene;
      await withRuns(scene);
      for (const index of [0, 1]) {
        const blob = `nightly-1/work/${index}/1/out.txt`;
        await bus.blobs.put(blob, Readable.from([Buffer.from(`of ${index}`)]));
        const shard: Shard = {
          ...{ state: 'done', files: [{ name: 'out.txt', blob, bytes: 4 }], value: null, worker: 'w' },
          ...{ attempts: 1, beganMs: DUE, endedMs: DUE + 1 },
        };
        await bus.records.write(shardRecord({ run: 'nightly-1', node: 'work', index }), JSON.stringify(shard), 0);
      }
      const output = join(dir, 'files');
      expect(await run({ action: 'fetch', names: ['nightly-1'], output })).to.equal(`${output}\n`);
      expect(await readFile(join(output, 'work', '1', 'out.txt'), 'utf8')).to.equal('of 1');
      expect(await errorOf(UsageError, () => run({ action: 'fetch', names: ['nightly-1'], output }))).to.match(
        /isn't empty/,
      );
      const one = join(dir, 'one');
      await run({ action: 'fetch', names: ['nightly-1'], node: 'work', output: one });
      expect(await readFile(join(one, '0', 'out.txt'), 'utf8')).to.equal('of 0');
    }));

  it('options and names are of their actions', async () => {
    const wrong = async (args: JobsArgs) => (await errorOf(UsageError, () => jobs(args, commandContext()))).message;
    expect(await wrong({ action: 'run', names: [] })).to.match(/^jobs run takes a job, and got nothing/);
    expect(await wrong({ action: 'stop', names: ['a', 'b'] })).to.match(/got a b/);
    expect(await wrong({ action: 'ls', dryRun: true })).to.match(/^--dry-run is of jobs apply, not of jobs ls/);
    expect(await wrong({ action: 'ls', bus: 'nats://h:1', folder: '/x' })).to.match(/give one of them/);
  });
});

async function asked(bus: JobBus, isMeant: (ask: Ask) => boolean): Promise<Ask> {
  return new Promise((resolve) => {
    bus.records.watch('ask', {
      changed: (_key, text) => {
        const ask = text === null ? null : (JSON.parse(text) as Ask);
        if (ask !== null && isMeant(ask)) resolve(ask);
      },
    });
  });
}
