import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExperimentError } from '../../../../../lib/experiment/base/errors.js';
import type { RunEnd } from '../../../../../lib/experiment/base/run.js';
import type { SlurmSettings } from '../../../../../lib/experiment/base/runner.js';
import { runnerSettings } from '../../../../../lib/experiment/file/runner_schema.js';
import { writeRun } from '../../../../../lib/experiment/runs/run_folder.js';
import { SlurmRunner, type SlurmRunnerOptions } from '../../../../../lib/experiment/runners/slurm/slurm_runner.js';
import { describeRunner } from '../../../../contracts/runner_contract.js';
import type { Play } from '../../../../kit/experiment/played_run.js';
import { PlayedSlurm } from '../../../../kit/experiment/played_slurm.js';
import { plannedRun, runFolder } from '../../../../kit/experiment/runs.js';
import { Processes, until } from '../../../../kit/processes/processes.js';
import { errorOf } from '../../../../kit/rejects.js';
import { withTempFolder } from '../../../../kit/temp_folder.js';

const APART = fileURLToPath(new URL('../../../../kit/experiment/played_apart.js', import.meta.url));
const settings = runnerSettings({ kind: 'slurm', poll_s: 0.05 }, () => ({ where: 'a test' })) as SlurmSettings;
const never = new AbortController().signal;
const TIMEOUT_MS = 40_000;

const processes = new Processes();
before(() => processes.markThisProcess());
afterEach(processes.expectNone);

const runnerOver = (slurm: PlayedSlurm, over: Partial<SlurmRunnerOptions> = {}): SlurmRunner =>
  new SlurmRunner({ settings, parallel: 2, env: process.env, program: [APART], slurm, ...over });

describeRunner('in Slurm', (graceMs) => runnerOver(new PlayedSlurm(process.env), { graceMs }), processes);

/** With a cluster and folders of runs that do what they are told. */
const withSlurm = (
  plays: readonly Play[],
  use: (slurm: PlayedSlurm, folders: readonly string[]) => Promise<void>,
): Promise<void> =>
  withTempFolder(async (dir) => {
    const folders: string[] = [];
    for (const [seed, play] of plays.entries())
      folders.push(await runFolder(dir, plannedRun({ seed, workload: { play, value: seed } })));
    await use(new PlayedSlurm(process.env), folders);
  });

const allOf = (runner: SlurmRunner, folders: readonly string[]): Promise<readonly RunEnd[]> =>
  Promise.all(folders.map((folder) => runner.run(folder, TIMEOUT_MS, never)));

const valuesOf = (ends: readonly RunEnd[]): readonly unknown[] =>
  ends.map((end) => (end.status === 'ok' ? end.result.metrics.value : end.error.message));

const messageOf = (end: RunEnd): string => (end.status === 'ok' ? expect.fail('it went well') : end.error.message);

const began = (folder: string): Promise<void> =>
  until(
    () => existsSync(join(folder, 'began')),
    () => 'the run did not begin',
  );

describe('a runner in Slurm', () => {
  it('takes no argument of sbatch that it says itself, under any of its names', () => {
    const read = (extra: string): unknown =>
      runnerSettings({ kind: 'slurm', extra: [extra] }, () => ({ where: 'a test' }));
    for (const own of [
      '--arr=0-5',
      '--wra=id',
      '--outp=x',
      '--tim=1',
      '--job-name=x',
      '-Jx',
      '--clusters=b',
      '-M',
      '-n4',
    ])
      expect(() => read(own), own).to.throw(/allowed is a list of arguments of sbatch/);
    for (const other of ['--reservation=mine', '--exclusive', '--nodelist=a', '--time-min=5', '-C', '-x'])
      expect(() => read(other), other).not.to.throw();
  });

  it('makes one array of all runs that are ready, as many at a time as may be; their times are those of their processes', () =>
    withSlurm(['result', 'result', 'error', 'result'], async (slurm, folders) => {
      const runner = runnerOver(slurm);
      const ends = await allOf(runner, folders);
      expect(ends.map(({ status }) => status)).to.deep.equal(['ok', 'ok', 'failed', 'ok']);
      expect(slurm.submissions).to.have.length(1);
      expect(slurm.submissions[0]).to.include.members(['--array=0-3%2', '--time=2', '--requeue', '--ntasks=1']);
      expect(slurm.mostAtOnce).to.equal(2);
      for (const { times } of ends) expect(times?.durationMs).to.be.greaterThan(0);
      await runner.close();
    }));

  it('has no more than an array at a time, each no longer than it may be', () =>
    withSlurm(['result', 'result', 'result', 'result', 'result'], async (slurm, folders) => {
      const runner = runnerOver(slurm, { settings: { ...settings, max_array: 2 } });
      expect(valuesOf(await allOf(runner, folders))).to.deep.equal([0, 1, 2, 3, 4]);
      const arrays = slurm.submissions.map((args) => args.find((arg) => arg.startsWith('--array')));
      expect(arrays).to.deep.equal(['--array=0-1%2', '--array=0-1%2', '--array=0-0%1']);
      expect(slurm.mostAtOnce).to.equal(2);
      await runner.close();
    }));

  it('waits for a controller that is away, and for an answer that was lost it asks by name', () =>
    withSlurm(['result'], async (slurm, folders) => {
      slurm.losesAnswer = true;
      const runner = runnerOver(slurm);
      const running = allOf(runner, folders);
      slurm.numUnanswered = 3;
      expect(valuesOf(await running)).to.deep.equal([0]);
      expect(slurm.submissions).to.have.length(1);
      slurm.numUnanswered = Infinity;
      const away = runnerOver(slurm, { patienceMs: 100 });
      const error = await errorOf(ExperimentError, () => allOf(away, folders));
      expect(error.message).to.match(
        /^RUNNER_FAILED: Slurm's controller doesn't answer for 0.1 s .*; look at slurmctld/,
      );
    }));

  it('ends at once where nobody answers and nothing was handed over; a job that may have been taken is told', () =>
    withSlurm(['result'], async (slurm, [folder]) => {
      const notices: string[] = [];
      slurm.numUnanswered = Infinity;
      const runner = runnerOver(slurm, { lastMs: 50, onNotice: (line) => notices.push(line) });
      const stopping = new AbortController();
      const running = runner.run(folder!, TIMEOUT_MS, stopping.signal);
      await until(
        () => slurm.numAsked > 0,
        () => 'nobody asked',
      );
      stopping.abort(new Error('Ctrl-C'));
      expect((await errorOf(Error, () => running)).message).to.equal('Ctrl-C');
      expect(notices.join()).to.match(/a job called (expertwire-\w+) may be left there; .* scancel --name=\1 once/);
      await runner.close();
    }));

  it('gives up soon to cancel what runs where nobody answers, and says what is left', () =>
    withSlurm(['hang'], async (slurm, [folder]) => {
      const notices: string[] = [];
      const runner = runnerOver(slurm, { lastMs: 50, onNotice: (line) => notices.push(line) });
      const stopping = new AbortController();
      const running = runner.run(folder!, TIMEOUT_MS, stopping.signal);
      await began(folder!);
      slurm.numUnanswered = Infinity;
      stopping.abort(new Error('Ctrl-C'));
      expect((await errorOf(Error, () => running)).message).to.equal('Ctrl-C');
      expect(notices.join()).to.match(/jobs 101 may be left there; end what is with scancel 101 once it does/);
      await slurm.strike('CANCELLED');
      await runner.close();
    }));

  it('cancels a job that was taken though its answer was lost when it was wanted no more', () =>
    withSlurm(['result'], async (slurm, [folder]) => {
      Object.assign(slurm, { isHeld: true, losesAnswer: true });
      const runner = runnerOver(slurm, { settings: { ...settings, poll_s: 60 } });
      const stopping = new AbortController();
      const running = runner.run(folder!, TIMEOUT_MS, stopping.signal);
      await until(
        () => slurm.submissions.length > 0,
        () => 'nothing was handed over',
      );
      stopping.abort(new Error('Ctrl-C'));
      expect((await errorOf(Error, () => running)).message).to.equal('Ctrl-C');
      expect(slurm.cancelled).to.deep.equal(['101_0']);
      await runner.close();
    }));

  it('goes on with a task that Slurm puts in line again when its node fails', () =>
    withSlurm(['hang'], async (slurm, [folder]) => {
      const runner = runnerOver(slurm);
      const running = runner.run(folder!, TIMEOUT_MS, never);
      await began(folder!);
      slurm.isHeld = true;
      await slurm.strike('PENDING');
      await writeRun(folder!, plannedRun({ workload: { play: 'result', value: 8 } }));
      slurm.release();
      expect(valuesOf([await running])).to.deep.equal([8]);
      expect(slurm.submissions).to.have.length(1);
    }));

  it('tells what Slurm says of a task that left nothing', async () => {
    const stories: readonly (readonly [string, RunEnd['status'], RegExp])[] = [
      ['NODE_FAIL', 'failed', /^task 101_0 on node1 ended as NODE_FAIL without a result; set runner.requeue to true/],
      ['TIMEOUT', 'timed_out', /^Slurm ended task 101_0 on node1 at its time limit, .*; raise runner.time/],
    ];
    for (const [state, status, message] of stories) {
      await withSlurm(['hang'], async (slurm, [folder]) => {
        const runner = runnerOver(slurm);
        const running = runner.run(folder!, TIMEOUT_MS, never);
        await began(folder!);
        await slurm.strike(state);
        const end = await running;
        expect(end.status, state).to.equal(status);
        expect(messageOf(end)).to.match(message);
        await runner.close();
      });
    }
  });

  it('ends all where a task would wait for ever', () =>
    withSlurm(['result', 'result'], async (slurm, folders) => {
      slurm.isHeld = true;
      const runner = runnerOver(slurm);
      const running = allOf(runner, folders);
      await until(
        () => slurm.submissions.length > 0,
        () => 'nothing was handed over',
      );
      slurm.waitsFor('BadConstraints');
      const { message } = await errorOf(ExperimentError, () => running);
      expect(message).to.match(/^RUNNER_FAILED: task 101_\d of Slurm would wait for ever \(BadConstraints\); look at/);
      expect(slurm.cancelled).to.have.length(2);
    }));

  it('waits for what an earlier one put in line, and starts nothing beside it', () =>
    withSlurm(['result', 'error'], async (slurm, folders) => {
      slurm.isHeld = true;
      void allOf(runnerOver(slurm), folders).catch(() => undefined); // killed: nobody looks any more
      await until(
        () => folders.every((folder) => existsSync(join(folder, 'slurm.json'))),
        () => 'nothing was handed over',
      );
      const next = runnerOver(slurm);
      const running = allOf(next, folders);
      slurm.release();
      expect((await running).map(({ status }) => status)).to.deep.equal(['ok', 'failed']);
      expect(slurm.submissions).to.have.length(1);
      expect(existsSync(join(folders[0]!, 'slurm.json'))).to.equal(false);
    }));

  it('puts in line again what an earlier one did and nobody knows any more, unless it only collects', () =>
    withSlurm(['result', 'result'], async (slurm, [first, second]) => {
      slurm.isHeld = true;
      const stopping = new AbortController();
      for (const folder of [first!, second!])
        void runnerOver(slurm)
          .run(folder, TIMEOUT_MS, stopping.signal)
          .catch(() => undefined);
      await until(
        () => [first!, second!].every((folder) => existsSync(join(folder, 'slurm.json'))),
        () => 'nothing was handed over',
      );
      const other = new PlayedSlurm(process.env);
      const collecting = runnerOver(other, { isCollecting: true });
      const lost = await collecting.run(first!, TIMEOUT_MS, never);
      expect(messageOf(lost)).to.match(/^Slurm no longer knows task 10[12]_0, and it left no result; run the same/);
      expect(other.submissions).to.have.length(0);
      expect(valuesOf([await runnerOver(other).run(second!, TIMEOUT_MS, never)])).to.deep.equal([1]);
      expect(other.submissions).to.have.length(1);
      stopping.abort(new Error('over'));
    }));
});
