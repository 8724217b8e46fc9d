import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { detached } from '../../../../lib/commands/experiment/detached.js';
import { ExperimentError } from '../../../../lib/experiment/base/errors.js';
import type { ExperimentPlan } from '../../../../lib/experiment/base/experiment.js';
import { runnerSettings } from '../../../../lib/experiment/file/runner_schema.js';
import { ResultsFolder } from '../../../../lib/experiment/runs/results_folder.js';
import { PlayedSlurm } from '../../../kit/experiment/played_slurm.js';
import { planOf } from '../../../kit/experiment/plans.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const planIn = (kind: string, more = {}): ExperimentPlan => ({
  ...planOf([1, 2, 3]),
  runner: runnerSettings({ kind, ...more }, () => ({ where: 'a test' })),
});

/** A held cluster: nothing begins. */
const withResults = (
  plan: ExperimentPlan,
  use: (hand: () => Promise<string>, slurm: PlayedSlurm, dir: string) => Promise<void>,
): Promise<void> =>
  withTempFolder(async (dir) => {
    const slurm = new PlayedSlurm(process.env);
    slurm.isHeld = true;
    const results = await ResultsFolder.open(dir, plan);
    try {
      const hand = async (): Promise<string> => {
        const context = commandContext();
        await detached(plan, results, { file: 'sweep.yaml', only: ['value=1'] }, context, slurm);
        return context.printed();
      };
      await use(hand, slurm, dir);
    } finally {
      await results.close();
    }
  });

describe('an experiment that is detached', () => {
  it('is arrays one behind the other, and a report behind all of them', () =>
    withResults(planIn('slurm', { max_array: 2, partition: 'all' }), async (hand, slurm, dir) => {
      expect(await hand()).to.match(/^3 runs are jobs 101, 102 of Slurm, and job 103 behind makes the report/);
      const ofJobs = slurm.submissions.map((args) => args.filter((arg) => /^--(?:array|depend|partition)/.test(arg)));
      expect(ofJobs).to.deep.equal([
        ['--partition=all', '--array=0-1%1'],
        ['--partition=all', '--array=0-0%1', '--dependency=afterany:101'],
        ['--partition=all', '--dependency=afterany:101:102'],
      ]);
      const [first] = planOf([1]).runs;
      const handed = await readFile(join(dir, 'runs', first!.id, 'slurm.json'), 'utf8');
      expect(JSON.parse(handed)).to.deep.equal({ job: '101', index: 0 });
    }));

  it('is refused while Slurm is at it, and handed over again when nobody is', () =>
    withResults(planIn('slurm'), async (hand, slurm) => {
      await hand();
      const { message } = await errorOf(ExperimentError, hand);
      expect(message).to.equal(
        'FOLDER_IN_USE: job 101 of Slurm does runs of this experiment already; wait for it, or scancel 101',
      );
      slurm.forget();
      expect(await hand()).to.match(/^3 runs are job 103 of Slurm, and job 104/);
    }));

  it('is one of Slurm', () =>
    withResults(planIn('local'), async (hand) => {
      const { message } = await errorOf(UsageError, hand);
      expect(message).to.equal('--detach hands runs to Slurm; give --runner slurm with it');
    }));
});
