/** Jobs of ranks under the real launchers of MPI. */
import { expect } from 'chai';
import { describeLauncher, type TestedLauncher } from '../../contracts/launcher_contract.js';
import { needPrograms } from '../../kit/launchers/programs.js';
import { LaunchSite, COMMAND, SECRET, withoutLaunchers } from '../../kit/processes/launch_site.js';
import { freePort } from '../../kit/processes/ports.js';
import type { Running } from '../../kit/processes/processes.js';

const atPort = async (): Promise<readonly string[]> => ['--head', `127.0.0.1:${await freePort()}`];
/** Ctrl-C reaches the launcher, which ends its tasks. */
const interrupt = (job: Running): void => void job.signal('SIGINT');

const OPEN_MPI: TestedLauncher = {
  command: ['mpirun.openmpi', '--oversubscribe', '-np', '4'],
  env: { OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
  rankVariable: 'OMPI_COMM_WORLD_RANK',
  head: atPort,
  interrupt,
  keepsWords: false,
};
const MPICH: TestedLauncher = {
  command: ['mpiexec.hydra', '-np', '4'],
  env: {},
  rankVariable: 'PMI_RANK',
  head: atPort,
  interrupt,
  keepsWords: true,
};

for (const [name, launcher, packages] of [
  ['Open MPI', OPEN_MPI, 'openmpi-bin'],
  ['MPICH', MPICH, 'mpich'],
] as const) {
  describe(`launch.sh under ${name}`, function () {
    this.timeout(120_000);
    const site = new LaunchSite();

    before(async function () {
      await needPrograms(this, launcher.command.slice(0, 1), packages);
      await site.create();
    });
    after(async () => {
      if (site.dir !== '') await site.remove();
    });
    afterEach(site.processes.expectNone);

    describeLauncher(() => launcher, site);

    it('needs no address where all ranks are on one machine', async () => {
      const [program, ...options] = launcher.command;
      const env = { ...SECRET, ...launcher.env };
      const job = site.processes.start(program!, [...options, site.script, ...COMMAND], { env, cwd: site.dir });
      const { code, stdout, stderr } = await job.ended;
      expect(withoutLaunchers(stderr)).to.equal('');
      expect([code, stdout]).to.deep.equal([0, site.goldenOutput]);
    });
  });
}
