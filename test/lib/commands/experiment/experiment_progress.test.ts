import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { ExperimentProgress } from '../../../../lib/commands/experiment/experiment_progress.js';
import type { ResultRow, RunEnd } from '../../../../lib/experiment/base/run.js';
import { rowOf } from '../../../../lib/experiment/runs/rows.js';
import { failed, ok } from '../../../kit/experiment/played_runner.js';
import { planOf } from '../../../kit/experiment/plans.js';
import { ENVIRONMENT } from '../../../kit/experiment/runs.js';

const plan = planOf([1, 2, 3]);

/** What is told of runs that end like this, each after four seconds. */
function toldOf(ends: readonly RunEnd[], isTTY: boolean): string {
  let told = '';
  const stderr = Object.assign(new PassThrough().setEncoding('utf8'), { isTTY });
  stderr.on('data', (text: string) => (told += text));
  const rows: ResultRow[] = [];
  const progress = new ExperimentProgress(stderr, plan, () => rows);
  for (const [i, end] of ends.entries()) {
    progress.begin(plan.runs[i]!);
    rows.push(rowOf(plan.experiment, plan.runs[i]!, end, { startedAt: new Date(0), durationMs: 4000 }, ENVIRONMENT));
    progress.done(rows[i]!);
  }
  progress.close();
  stderr.read();
  return told;
}

describe('the progress of an experiment', () => {
  it('is a line per run without a terminal, with the time that is left', () => {
    expect(toldOf([ok(1), failed('MEASURE_FAILED'), ok(3)], false).split('\n')).to.deep.equal([
      '1/3 ok after 4 s: value=1 seed=1 repeat=0; 8 s left',
      '2/3 failed after 4 s: value=2 seed=1 repeat=0: MEASURE_FAILED: played; mend it; 4 s left',
      '3/3 ok after 4 s: value=3 seed=1 repeat=0',
      '',
    ]);
  });

  it('in a terminal is a bar, and a line for what failed', () => {
    const told = toldOf([ok(1), failed('MEASURE_FAILED')], true);
    expect(told).to.contain('played ');
    expect(told).to.match(/2\/3 failed after 4 s: value=2 /);
    expect(told).not.to.match(/1\/3 ok/);
  });
});
