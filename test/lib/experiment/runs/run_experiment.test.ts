import { expect } from 'chai';
import { join } from 'node:path';
import { ExperimentError } from '../../../../lib/experiment/base/errors.js';
import type { ExperimentPlan } from '../../../../lib/experiment/base/experiment.js';
import type { ResultRow, RunResult } from '../../../../lib/experiment/base/run.js';
import { readRows, ResultsFolder } from '../../../../lib/experiment/runs/results_folder.js';
import { runExperiment, type ExperimentRunOptions } from '../../../../lib/experiment/runs/run_experiment.js';
import { writeResult } from '../../../../lib/experiment/runs/run_folder.js';
import { failed, ok, PlayedRunner } from '../../../kit/experiment/played_runner.js';
import { planOf } from '../../../kit/experiment/plans.js';
import { ENVIRONMENT, RESULT } from '../../../kit/experiment/runs.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const never = new AbortController().signal;

/** In a life of its own of the folder. */
async function runIn(
  path: string,
  plan: ExperimentPlan,
  runner: PlayedRunner,
  options: Partial<ExperimentRunOptions> = {},
): Promise<void> {
  const results = await ResultsFolder.open(path, plan);
  try {
    await runExperiment(plan, { results, runner, environment: ENVIRONMENT, signal: never, ...options });
  } finally {
    await results.close();
  }
}

/** What follows from the plan, as text. */
const counts = (rows: readonly ResultRow[]): readonly string[] =>
  [...rows]
    .sort((a, b) => a.index - b.index)
    .map(({ index, point, status, metrics }) => JSON.stringify([index, point.value, status, metrics.tokens]));

describe('an experiment', () => {
  it('does its runs in the order of the plan, and each row is there before the next run begins', () =>
    withTempFolder(async (dir) => {
      const numRows: number[] = [];
      const runner = new PlayedRunner(async (value) => {
        numRows.push((await readRows(dir)).length);
        return ok(value);
      });
      const heard: unknown[] = [];
      await runIn(dir, planOf([3, 1, 2]), runner, {
        onBegin: ({ point }) => heard.push(['begin', point.value]),
        onRow: ({ point }) => heard.push(['row', point.value]),
      });
      expect(runner.values).to.deep.equal([3, 1, 2]);
      expect(numRows).to.deep.equal([0, 1, 2]);
      expect(heard).to.deep.equal([3, 1, 2].flatMap((value) => [['begin', value], ['row', value]])); // prettier-ignore
    }));

  it('does as many at a time as its runner', () =>
    withTempFolder(async (dir) => {
      let allBegan: () => void;
      const three = new Promise<void>((resolve) => (allBegan = resolve));
      const runner: PlayedRunner = new PlayedRunner(async (value) => {
        if (runner.values.length === 3) allBegan();
        await three;
        return ok(value);
      }, 3);
      await runIn(dir, planOf([1, 2, 3, 4, 5, 6, 7]), runner);
      expect(runner.mostAtOnce).to.equal(3);
      expect(await readRows(dir)).to.have.length(7);
    }));

  it('records a run that failed and goes on; later it does what has no row', () =>
    withTempFolder(async (dir) => {
      const plan = planOf([1, 2, 3]);
      await runIn(dir, plan, new PlayedRunner((value) => (value === 2 ? failed('MEASURE_FAILED') : ok(value))));
      expect(counts(await readRows(dir))).to.deep.equal(['[0,1,"ok",1]', '[1,2,"failed",null]', '[2,3,"ok",3]']);
      const again = new PlayedRunner(ok);
      await runIn(dir, planOf([1, 2, 3, 4]), again);
      expect(again.values).to.deep.equal([4]);
    }));

  it('does those that are wanted', () =>
    withTempFolder(async (dir) => {
      const runner = new PlayedRunner(ok);
      await runIn(dir, planOf([1, 2, 3, 4]), runner, { isWanted: ({ point }) => (point.value as number) % 2 === 0 });
      expect(runner.values).to.deep.equal([2, 4]);
    }));

  it('interrupted at any run and resumed has the rows of an unbroken one, and repeats none', () =>
    withTempFolder(async (dir) => {
      const plan = planOf([5, 6, 7, 8]);
      const unbroken = join(dir, 'unbroken');
      await runIn(unbroken, plan, new PlayedRunner(ok));
      for (const last of plan.runs) {
        const path = join(dir, last.id);
        const stopping = new AbortController();
        const first = new PlayedRunner((value) => {
          if (value === last.point.value) stopping.abort(new Error('enough'));
          return ok(value);
        });
        const error = await errorOf(Error, () => runIn(path, plan, first, { signal: stopping.signal }));
        expect(error.message).to.equal('enough');
        const numDone = (await readRows(path)).length;
        const second = new PlayedRunner(ok);
        await runIn(path, plan, second);
        expect(second.values).to.have.length(4 - numDone);
        expect(counts(await readRows(path))).to.deep.equal(counts(await readRows(unbroken)));
      }
    }));

  it('takes a result that was written before its row was, unless its run was changed', () =>
    withTempFolder(async (dir) => {
      const plan = planOf([1, 2]);
      const [left, changed] = plan.runs;
      const results = await ResultsFolder.open(dir, plan);
      const result: RunResult = { ...RESULT, measureMs: 3, environment: { ...ENVIRONMENT, commit: 'then' } };
      await writeResult(await results.prepare(left!), result);
      await writeResult(await results.prepare({ ...changed!, warmup: 9 }), result);
      await results.close();
      const runner = new PlayedRunner(ok);
      await runIn(dir, plan, runner);
      expect(runner.values).to.deep.equal([2]);
      const [row] = await readRows(dir);
      expect(row).to.deep.include({ id: left!.id, commit: 'then', metrics: RESULT.metrics });
      expect(row!.duration_ms).to.be.at.least(3);
    }));

  it('ends where the disk takes nothing more, and the run that met it has no row', () =>
    withTempFolder(async (dir) => {
      const plan = planOf([1, 2, 3]);
      const runner = new PlayedRunner((value) => (value === 1 ? ok(value) : failed('ENOSPC')));
      const error = await errorOf(ExperimentError, () => runIn(dir, plan, runner));
      expect(error.message).to.match(/^NOT_KEPT: .*; look at permissions and the space there, then the same command/);
      expect(runner.values).to.deep.equal([1, 2]);
      expect(counts(await readRows(dir))).to.deep.equal(['[0,1,"ok",1]']);
    }));

  it('ends its other runs where one can’t be kept', () =>
    withTempFolder(async (dir) => {
      const runner = new PlayedRunner((value) => (value === 1 ? failed('EDQUOT') : new Promise(() => undefined)), 2);
      expect((await errorOf(ExperimentError, () => runIn(dir, planOf([1, 2, 3]), runner))).code).to.equal('NOT_KEPT');
    }));
});
