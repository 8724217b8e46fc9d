/** Jobs as a user meets them on one machine: real processes, killed in the middle. */
import { expect } from 'chai';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { moe7m } from '../kit/paths.js';
import { expectFailure } from '../kit/processes/command_line.js';
import { Processes, until, type Ended, type Running } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';

const processes = new Processes();

const JOBS = `
jobs:
  - name: texts
    nodes:
      make:
        command: [make-checkpoint, model, --family, mixtral, --layers, '1', --hidden, '32', --experts, '4', --seed, '\${item}']
        shards: [1, 2]
      tell: { needs: [make], command: [inspect, '\${inputs}/make/1/model', --json] }
  - name: sweep
    nodes: { runs: { experiment: sweep.yaml } }
  - name: long
    nodes: { main: { command: [generate, --model, moe-7m, --prompt, It was, --ignore-eos, --max-new-tokens, '4000'] } }
  - name: bad
    nodes:
      first: { command: [inspect, /etc], retries: { count: 0 } }
      second: { needs: [first], command: [doctor] }
`;
const SWEEP = `
measure: simulation
workload: { load: drift, layers: 2, experts: 16, windows: 4 }
sweep: { grid: { parallel.ranks: [2, 4] } }
`;

describe('expertwire jobs and worker', function () {
  this.timeout(240_000);
  afterEach(processes.expectNone);

  const withJobs = (
    use: (call: (...args: string[]) => Promise<Ended>, worker: () => Running, dir: string) => Promise<void>,
  ): Promise<void> =>
    withTempFolder(async (dir) => {
      await writeFile(join(dir, 'jobs.yaml'), JOBS);
      await writeFile(join(dir, 'sweep.yaml'), SWEEP);
      const env = { XDG_STATE_HOME: dir, TMPDIR: process.env.TMPDIR ?? '/tmp' };
      const call = (...args: string[]): Promise<Ended> => processes.cli(['jobs', ...args], { env, cwd: dir }).ended;
      const worker = (): Running =>
        processes.cli(['worker', '--models', moe7m(), '--parallel', '2'], { env, cwd: dir });
      await use(call, worker, dir);
    });

  const isWell = ({ code, stdout, stderr }: Ended): string => {
    expect(code, stderr).to.equal(0);
    return stdout;
  };

  it('a graph and an experiment are done, their files fetched, and a worker that is to end ends', () =>
    withJobs(async (call, worker, dir) => {
      isWell(await call('apply', 'jobs.yaml'));
      const working = worker();
      isWell(await call('run', 'texts', '--wait'));
      isWell(await call('fetch', 'texts', '--output', 'files'));
      const { model_type: type } = JSON.parse(await readFile(join(dir, 'files', 'tell', 'output.txt'), 'utf8')) as {
        model_type?: string;
      };
      expect(type ?? 'mixtral').to.equal('mixtral');
      expect(readdirSync(join(dir, 'files', 'make')).sort()).to.deep.equal(['0', '1']);
      isWell(await call('run', 'sweep', '--wait'));
      isWell(await call('fetch', 'sweep', '--output', 'results'));
      const report = await processes.cli(['report', 'results'], { cwd: dir }).ended;
      expect(isWell(report)).to.include('2 points, 2 runs');
      const failed = await call('run', 'bad', '--wait');
      expect(failed.code).to.equal(1);
      expect(failed.stderr).to.match(/is failed in first: NOT_ALLOWED: inspect: its argument is \/etc/);
      expect(isWell(await call('ls', '--runs', '--json'))).to.include('"state":"skipped"');
      expectFailure(await call('logs', 'nope'), 1, 'NO_SUCH_RUN');
      working.signal('SIGTERM');
      expect((await working.ended).code).to.equal(0);
    }));

  it('a worker that is killed leaves no process, and the next one goes on where it was', () =>
    withJobs(async (call, worker) => {
      isWell(await call('apply', 'jobs.yaml'));
      const first = worker();
      const id = isWell(await call('run', 'long')).trim();
      const isAtIt = (): boolean =>
        processes.running().some(({ argv }) => argv.includes('task') && argv.includes('generate'));
      await until(isAtIt, () => `nothing runs; ${first.stderr}`);
      first.signal('SIGKILL');
      await first.ended;
      await processes.allGone();
      const second = worker();
      await until(isAtIt, () => `nothing runs again; ${second.stderr}`);
      isWell(await call('stop', id));
      await until(
        () => !isAtIt(),
        () => 'it runs still',
      );
      expect(isWell(await call('ls', '--runs'))).to.match(/stopp(ed|ing)/);
      second.signalGroup('SIGINT');
      expect((await second.ended).code).to.equal(130);
    }));
});
