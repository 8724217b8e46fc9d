/** Runs of experiments in a real Slurm, with two nodes on this machine. */
import { expect } from 'chai';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SlurmSettings } from '../../lib/experiment/base/runner.js';
import { runnerSettings } from '../../lib/experiment/file/runner_schema.js';
import { SlurmCommands } from '../../lib/experiment/runners/slurm/slurm.js';
import { SlurmRunner } from '../../lib/experiment/runners/slurm/slurm_runner.js';
import { readRows } from '../../lib/experiment/runs/results_folder.js';
import { writeRun } from '../../lib/experiment/runs/run_folder.js';
import { describeRunner } from '../contracts/runner_contract.js';
import { plannedRun, runFolder } from '../kit/experiment/runs.js';
import { needSlurm, Slurm } from '../kit/launchers/slurm.js';
import { Processes, until } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const APART = fileURLToPath(new URL('../kit/experiment/played_apart.js', import.meta.url));
const never = new AbortController().signal;
const processes = new Processes();

const SWEEP = `
measure: simulation
workload: { load: drift, layers: 2, experts: 16, windows: 4 }
sweep: { grid: { parallel.ranks: [2, 4], experts.num_redundant_experts: [0, 4] } }
parallel: 2
timeout_s: 60
runner: { kind: slurm, partition: all, poll_s: 0.2 }
`;

describe('experiments in a real Slurm', function () {
  this.timeout(240_000);
  let slurm: Slurm;
  let closeSlurm = (): Promise<void> => Promise.resolve(); // it may not be installed

  before(async function () {
    await needSlurm(this);
    slurm = await Slurm.start();
    closeSlurm = () => slurm.close();
    processes.markThisProcess(); // its daemons are not marked
  });
  after(() => closeSlurm());
  afterEach(() => processes.allGone());

  const env = (): Readonly<Record<string, string | undefined>> => ({ ...process.env, ...slurm.env });
  const settingsOf = (more: object = {}): SlurmSettings =>
    runnerSettings({ kind: 'slurm', poll_s: 0.2, ...more }, () => ({ where: 'a test' })) as SlurmSettings;
  const runnerOf = (graceMs = 5000, more: object = {}): SlurmRunner =>
    new SlurmRunner({ settings: settingsOf(more), parallel: 4, env: env(), program: [APART], graceMs });

  /** Slurm has what it put in line again wait two minutes, lest it run twice. */
  async function beginNow(): Promise<void> {
    for (let task = ''; task === '';) task = (await slurm.run('squeue', '-h', '-t', 'PD', '-o', '%i')).trim();
    const [job] = (await slurm.run('squeue', '-h', '-o', '%A')).trim().split('\n');
    await slurm.run('scontrol', 'update', `JobId=${job}`, 'StartTime=now');
  }

  describeRunner('in a real Slurm', (graceMs) => runnerOf(graceMs), processes, { endsLater: true });

  it('puts a run in line again whose node fails', () =>
    withTempFolder(async (dir) => {
      const folder = await runFolder(dir, plannedRun({ workload: { play: 'hang' } }));
      const runner = runnerOf();
      const running = runner.run(folder, 100_000, never);
      await until(
        () => existsSync(join(folder, 'began')),
        () => 'the run did not begin',
      );
      const node = (await slurm.run('squeue', '-h', '-t', 'R', '-o', '%N')).trim();
      await writeRun(folder, plannedRun({ workload: { play: 'result', value: 8 } }));
      await slurm.run('scontrol', 'update', `NodeName=${node}`, 'State=DOWN', 'Reason=test');
      await beginNow();
      const end = await running;
      expect(end.status === 'ok' && end.result.metrics.value).to.equal(8);
      await runner.close();
      await slurm.run('scontrol', 'update', `NodeName=${node}`, 'State=RESUME').catch(() => undefined); // it may be back already
      await slurm.nodesAre('idle');
    }));

  it('tells in Slurm’s own words what it refuses, and a job that would wait for ever', () =>
    withTempFolder(async (dir) => {
      const folder = await runFolder(dir, plannedRun({ workload: { play: 'result' } }));
      const messageOf = (more: object): Promise<string> => {
        const runner = runnerOf(5000, more);
        return runner.run(folder, 1000, never).then(
          () => 'it went well',
          (error: unknown) => (error as Error).message,
        );
      };
      expect(await messageOf({ partition: 'gpu' })).to.match(
        /^RUNNER_FAILED: Slurm takes no job \(".*Invalid partition.*"\); look at runner.partition, and at sinfo$/,
      );
      const failing = await slurm.run('sbatch', '--parsable', '--output=/dev/null', '--wrap', 'exit 1');
      expect(await messageOf({ dependency: `afterok:${failing.trim()}` })).to.match(
        /^RUNNER_FAILED: task \d+_0 of Slurm would wait for ever \(DependencyNeverSatisfied\); look at partition/,
      );
    }));

  it('goes on with what Slurm does, where the command was killed', () =>
    withTempFolder(async (dir) => {
      const [file, output] = [join(dir, 'sweep.yaml'), join(dir, 'results')];
      await writeFile(file, SWEEP);
      const start = (): ReturnType<Processes['cli']> =>
        processes.cli(['experiment', file, '--output', output], { env: { ...slurm.env, TMPDIR: '/tmp' } });
      const killed = start();
      let jobs = '';
      while (jobs === '') jobs = await slurm.run('squeue', '-h', '-t', 'PD,R', '-o', '%F');
      killed.signal('SIGKILL');
      await killed.ended;
      const { code, stderr } = await start().ended;
      expect(code, stderr).to.equal(0);
      expect((await readRows(output)).map(({ status }) => status)).to.deep.equal(['ok', 'ok', 'ok', 'ok']);
    }));

  it('hands over all runs and the report, and waits for nothing', () =>
    withTempFolder(async (dir) => {
      const [file, output] = [join(dir, 'sweep.yaml'), join(dir, 'results')];
      await writeFile(file, SWEEP);
      const command = processes.cli(['experiment', file, '--output', output, '--detach'], {
        env: { ...slurm.env, TMPDIR: '/tmp' },
      });
      const { code, stdout, stderr } = await command.ended;
      expect(code, stderr).to.equal(0);
      const [, report] = /and job (\d+) behind makes the report/.exec(stdout)!;
      const commands = new SlurmCommands(env());
      const isThere = async (): Promise<boolean> =>
        (await slurm.run('squeue', '-h', '-t', 'PD,R,CG', `-j${report}`, '-o', '%i')).trim() !== '';
      while (await isThere());
      expect(await readFile(join(output, 'slurm-report.txt'), 'utf8')).to.match(/report.html\n$/);
      expect((await readRows(output)).map(({ status }) => status)).to.deep.equal(['ok', 'ok', 'ok', 'ok']);
      expect(existsSync(join(output, 'report.html'))).to.equal(true);
      expect(await commands.states(['999999'])).to.have.property('size', 0);
    }));
});
