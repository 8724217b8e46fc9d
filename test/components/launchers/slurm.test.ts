/** Jobs of ranks under a real Slurm, on two nodes that are addresses of this machine. */
import { expect } from 'chai';
import { copyFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeLauncher } from '../../contracts/launcher_contract.js';
import { needSlurm, Slurm } from '../../kit/launchers/slurm.js';
import { repoRoot } from '../../kit/paths.js';
import { LaunchSite, COMMAND, LONG, withoutLaunchers } from '../../kit/processes/launch_site.js';
import { kill, until, type Running } from '../../kit/processes/processes.js';

describe('launch.sh under Slurm', function () {
  this.timeout(120_000);
  const site = new LaunchSite();
  let slurm: Slurm | null = null;

  before(async function () {
    await needSlurm(this);
    await site.create();
    await copyFile(join(repoRoot(), 'configs', 'launch', 'slurm.sbatch'), join(site.dir, 'slurm.sbatch'));
    slurm = await Slurm.start();
  });
  after(async () => {
    await slurm?.close();
    if (site.dir !== '') await site.remove();
  });
  afterEach(site.processes.expectNone);

  describeLauncher(
    () => ({
      command: ['srun', '--kill-on-bad-exit=1', '-N', '2', '-n', '4'],
      env: slurm!.env,
      rankVariable: 'SLURM_PROCID',
      head: () => Promise.resolve([]), // the first node's
      interrupt: async (job: Running) => {
        job.signal('SIGINT');
        await job.warns('one more within 1 sec');
        job.signal('SIGINT');
      },
      keepsWords: false, // whoever failed is ended with the others
    }),
    site,
  );

  /** The example, with two ranks on each node. */
  const submit = (args: readonly string[], output: string): Running => {
    const options = ['--wait', '--ntasks-per-node=2', '--cpus-per-task=1', `--output=${join(site.dir, output)}`];
    return site.processes.start('sbatch', [...options, 'slurm.sbatch', ...args], { env: slurm!.env, cwd: site.dir });
  };
  const leftSecrets = async (): Promise<string[]> =>
    (await readdir(site.dir)).filter((name) => name.startsWith('.launch-secret'));

  it('as a batch job: the example prints the golden text, and takes its secret along', async () => {
    expect((await submit(COMMAND, 'golden.out').ended).code).to.equal(0);
    expect(withoutLaunchers(await readFile(join(site.dir, 'golden.out'), 'utf8'))).to.equal(site.goldenOutput);
    expect(await leftSecrets()).to.deep.equal([]);
  });

  it('as a batch job: a rank that is killed fails the job, whose output ends with why', async () => {
    const job = submit(LONG, 'killed.out');
    const output = (): Promise<string> => readFile(join(site.dir, 'killed.out'), 'utf8').catch(() => '');
    let text = '';
    await until(
      () => {
        void output().then((now) => (text = now));
        return withoutLaunchers(text).length > 20;
      },
      () => `the job printed ${text}`,
    );
    kill(site.processes.rank(3).pid, 'SIGKILL');
    expect((await job.ended).code).not.to.equal(0);
    expect(await output()).to.match(/expertwire: RANK_LOST: .*\brank 3\b/);
    expect(await leftSecrets()).to.deep.equal([]);
    await site.processes.allGone();
  });
});
