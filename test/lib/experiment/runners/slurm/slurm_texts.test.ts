import { expect } from 'chai';
import type { SlurmSettings } from '../../../../../lib/experiment/base/runner.js';
import { runnerSettings, type RunnerText } from '../../../../../lib/experiment/file/runner_schema.js';
import {
  arrayScript,
  reportArguments,
  sbatchArguments,
} from '../../../../../lib/experiment/runners/slurm/array_script.js';
import { endOfLost, isOver, isStuck, statesOf } from '../../../../../lib/experiment/runners/slurm/task_state.js';

const settingsOf = (given: Exclude<RunnerText, string> = {}): SlurmSettings =>
  runnerSettings({ kind: 'slurm', ...given }, () => ({ where: 'a test' })) as SlurmSettings;

const TASKS = [
  { folder: '/shared/runs/a', timeoutMs: 600_000 },
  { folder: "/shared/it's/b", timeoutMs: 60_000 },
];

describe('an array of runs, as sbatch is given it,', () => {
  it('says what the settings say, and no more', () => {
    const settings = settingsOf({
      ...{ partition: 'gpu', account: 'me', qos: 'high', cpus: 8, memory: '16G', gres: 'gpu:1', constraint: 'fast' },
      ...{ requeue: false, dependency: 'afterok:7', extra: ['--reservation=mine'] },
    });
    expect(sbatchArguments(settings, 'name', TASKS, { width: 64, graceMs: 5000 })).to.deep.equal([
      ...['--parsable', '--job-name=name', '--nodes=1', '--ntasks=1', '--no-requeue'],
      ...['--partition=gpu', '--account=me', '--qos=high', '--array=0-1%2', '--time=12', '--dependency=afterok:7'],
      ...['--output=/dev/null', '--cpus-per-task=8', '--mem=16G', '--gres=gpu:1', '--constraint=fast'],
      '--reservation=mine',
    ]);
    expect(sbatchArguments(settingsOf(), 'name', TASKS, { width: 1, graceMs: 0 })).to.deep.equal([
      ...['--parsable', '--job-name=name', '--nodes=1', '--ntasks=1', '--requeue'],
      ...['--array=0-1%1', '--time=11', '--output=/dev/null'],
    ]);
  });

  it('comes behind those before it, which waited already, and the report behind all', () => {
    const settings = settingsOf({ dependency: 'afterok:7', time: '1:00:00' });
    const args = sbatchArguments(settings, 'name', TASKS, { width: 1, graceMs: 0, after: ['12'] });
    expect(args).to.include.members(['--dependency=afterany:12', '--time=1:00:00']);
    expect(reportArguments(settings, 'name', '/r/50%.txt', ['12', '13'])).to.include.members([
      ...['--dependency=afterany:12:13', '--output=/r/50%%.txt'],
    ]);
  });

  it('does in each task the run of its place, whatever its folder is named', () => {
    const script = arrayScript(TASKS, { words: ['/usr/bin/node', 'cli.js'], graceMs: 5000 });
    expect(script.split('\n')).to.deep.equal([
      '#!/bin/sh',
      'case "$SLURM_ARRAY_TASK_ID" in',
      "0) set -- 600000 '/shared/runs/a' ;;",
      "1) set -- 60000 '/shared/it'\\''s/b' ;;",
      '*) exit 2 ;;',
      'esac',
      'exec >"$2/slurm.txt" 2>&1',
      'exec \'/usr/bin/node\' \'cli.js\' --timeout-ms "$1" --grace-ms 5000 "$2"',
      '',
    ]);
  });
});

describe('a task of Slurm', () => {
  it('stands as squeue says, and others are on the way', () => {
    const states = statesOf(
      '7_0|RUNNING|None|node1\n7_1|PENDING|BadConstraints|\n\nnonsense\n7_2|TIMEOUT|TimeLimit|n2\n',
    );
    expect([...states.keys()]).to.deep.equal(['7_0', '7_1', '7_2']);
    expect([...states.values()].map(isOver)).to.deep.equal([false, false, true]);
    expect([...states.values()].map(isStuck)).to.deep.equal([false, true, false]);
    expect(states.get('7_2')).to.deep.equal({ state: 'TIMEOUT', reason: 'TimeLimit', node: 'n2' });
  });

  it('that left nothing has a story that says what to do', () => {
    const advice = (state: string): string => {
      const end = endOfLost({ job: '7', index: 3 }, { state, reason: 'None', node: 'n1' }, 1000);
      return end.status === 'ok' ? '' : end.error.message;
    };
    expect(advice('OUT_OF_MEMORY')).to.equal(
      'task 7_3 on n1 ended as OUT_OF_MEMORY without a result; raise runner.memory',
    );
    expect(advice('PREEMPTED')).to.match(/; set runner.requeue to true, or run the same command with --retry-failed$/);
    expect(advice('CANCELLED')).to.match(/; somebody cancelled it/);
    expect(advice('FAILED')).to.match(/; look whether that node sees the folder of results/);
    expect(advice('DEADLINE')).to.match(/; raise runner.time, or leave it out$/);
  });
});
