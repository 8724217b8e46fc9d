/** What is asked of whoever runs runs: the same suite for every kind. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunEnd, Runner } from '../../lib/experiment/base/run.js';
import type { Play } from '../kit/experiment/played_run.js';
import { plannedRun, RESULT, runFolder } from '../kit/experiment/runs.js';
import { until, type Processes } from '../kit/processes/processes.js';
import { errorOf } from '../kit/rejects.js';
import { withTempFolder } from '../kit/temp_folder.js';

/** Runs `test/kit/experiment/played_run.js`; who is asked to end has `graceMs`. */
export type MakeRunner = (graceMs: number) => Runner | Promise<Runner>;

/** What is otherwise for some kinds. */
export interface RunnerTraits {
  /** Processes may be seen a moment after their run. Default false. */
  readonly endsLater?: boolean;
  /** What a run leaves that was asked to end is waited for. Default true. */
  readonly waitsForLast?: boolean;
  /** Whether the run that was asked for has begun. Default: as its folder says. */
  readonly hasBegun?: () => boolean;
}

const LONG_MS = 40_000;
const SHORT_MS = 300;

/** Declares the suite. `processes`: those that the runner starts are among them. */
export function describeRunner(
  name: string,
  makeRunner: MakeRunner,
  processes: Processes,
  { endsLater = false, waitsForLast = true, hasBegun }: RunnerTraits = {},
): void {
  const never = new AbortController().signal;

  const allEnd = async (): Promise<void> => {
    if (endsLater) await processes.allGone();
    processes.expectNone();
  };

  /** What becomes of a run. */
  const played = (
    play: Play,
    use: (runner: Runner, folder: string) => Promise<void>,
    graceMs = LONG_MS,
  ): Promise<void> =>
    withTempFolder(async (dir) => {
      const runner = await makeRunner(graceMs);
      try {
        await use(runner, await runFolder(dir, plannedRun({ workload: { play } })));
      } finally {
        await runner.close();
      }
      await allEnd();
    });

  const failureOf = (end: RunEnd): readonly [string, string, string] =>
    end.status === 'ok' ? expect.fail('it went well') : [end.status, end.error.code, end.error.message];

  const began = (folder: string): Promise<void> =>
    until(hasBegun ?? ((): boolean => existsSync(join(folder, 'began'))), () => 'the run did not begin');

  describe(`a runner of runs, ${name}`, () => {
    it('gives what the run left, and its folder keeps what it said', () =>
      played('result', async (runner, folder) => {
        const end = await runner.run(folder, LONG_MS, never);
        if (end.status !== 'ok') return expect.fail(end.error.message);
        expect(end.result.metrics).to.deep.include(RESULT.metrics);
        expect(end.result.details).to.deep.equal(RESULT.details);
        expect(end.result.environment.versions).to.have.property('node', process.versions.node);
        expect(end.result.measureMs).to.be.a('number');
        expect(await readFile(join(folder, 'log.txt'), 'utf8')).to.match(/tokens +7/);
        expect(existsSync(join(folder, 'files')), 'files of the measure').to.equal(false);
      }));

    it('tells why a measure failed', () =>
      played('error', async (runner, folder) => {
        expect(failureOf(await runner.run(folder, LONG_MS, never))).to.deep.equal([
          'failed',
          'MEASURE_FAILED',
          'metric goodput is not there; pick another',
        ]);
      }));

    it('tells how a process ended that said nothing of it', async () => {
      await played('exit', async (runner, folder) => {
        const [status, code, message] = failureOf(await runner.run(folder, LONG_MS, never));
        expect([status, code]).to.deep.equal(['failed', 'RUN_FAILED']);
        expect(message).to.match(/exit code 7 without a result \("something broke"\); look into .*log\.txt$/);
      });
      await played('killed', async (runner, folder) => {
        const [, code, message] = failureOf(await runner.run(folder, LONG_MS, never));
        expect(code).to.equal('RUN_FAILED');
        expect(message).to.match(/by SIGKILL without a result; look whether memory ran out$/);
      });
    });

    it('ends a run that takes too long', () =>
      played('hang', async (runner, folder) => {
        const [status, code, message] = failureOf(await runner.run(folder, SHORT_MS, never));
        expect([status, code]).to.deep.equal(['timed_out', 'RUN_TIMED_OUT']);
        expect(message).to.match(/longer than timeout_s \(0\.3 s\); raise it/);
      }));

    it('ends a run that won’t end', () =>
      played(
        'stubborn',
        async (runner, folder) => {
          const stopping = new AbortController();
          const running = runner.run(folder, LONG_MS, stopping.signal);
          await began(folder);
          stopping.abort(new Error('enough'));
          expect((await errorOf(Error, () => running)).message).to.equal('enough');
        },
        SHORT_MS,
      ));

    it('leaves nothing of what a run started, also in a group of its own', async () => {
      for (const play of ['leaves a child', 'leaves a group'] as const) {
        await played(play, async (runner, folder) => {
          expect((await runner.run(folder, LONG_MS, never)).status).to.equal('ok');
          await allEnd();
        });
      }
    });

    it('ends a run where the signal says so, and rejects with its reason', () =>
      played('hang', async (runner, folder) => {
        const stopping = new AbortController();
        const running = runner.run(folder, LONG_MS, stopping.signal);
        await began(folder);
        stopping.abort(new Error('enough'));
        expect((await errorOf(Error, () => running)).message).to.equal('enough');
        await allEnd();
        expect((await errorOf(Error, () => runner.run(folder, LONG_MS, stopping.signal))).message).to.equal('enough');
      }));

    it(`takes a result that was there in the end${!waitsForLast ? ', unless it was given up before' : ''}`, () =>
      played('late', async (runner, folder) => {
        const stopping = new AbortController();
        const running = runner.run(folder, LONG_MS, stopping.signal);
        await began(folder);
        stopping.abort(new Error('enough'));
        if (!waitsForLast) expect((await errorOf(Error, () => running)).message).to.equal('enough');
        else expect((await running).status).to.equal('ok');
      }));

    it('ends what runs when it is closed, and runs nothing afterwards', () =>
      played('hang', async (runner, folder) => {
        const running = runner.run(folder, LONG_MS, never);
        await began(folder);
        await Promise.all([errorOf(Error, () => running), runner.close()]);
        await allEnd();
        await errorOf(Error, () => runner.run(folder, LONG_MS, never));
      }));

    it('begins anew where an earlier try left something', () =>
      played('error', async (runner, folder) => {
        await runner.run(folder, LONG_MS, never);
        const again = await runFolder(folder, plannedRun({ workload: { play: 'result', value: 3 } }));
        expect((await runner.run(again, LONG_MS, never)).status).to.equal('ok');
        expect((await runner.run(again, LONG_MS, never)).status).to.equal('ok');
      }));
  });
}
