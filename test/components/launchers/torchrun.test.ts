/** Jobs of ranks under a real torchrun. What it sets in the environment is played in test/cluster/launch/launchers.test.ts. */
import { describeLauncher } from '../../contracts/launcher_contract.js';
import { needPrograms } from '../../kit/launchers/programs.js';
import { LaunchSite } from '../../kit/processes/launch_site.js';
import { freePort } from '../../kit/processes/ports.js';

describe('launch.sh under torchrun', function () {
  this.timeout(180_000);
  const site = new LaunchSite();
  let port = 0;

  before(async function () {
    await needPrograms(this, ['torchrun'], 'python3-pip, then pip install torch');
    await site.create();
  });
  after(async () => {
    if (site.dir !== '') await site.remove();
  });
  beforeEach(async () => (port = await freePort()));
  afterEach(site.processes.expectNone);

  describeLauncher(
    () => ({
      command: ['torchrun', '--no-python', '--nproc-per-node', '4', '--master-port', String(port)],
      env: { OMP_NUM_THREADS: '1' }, // or torchrun says that it sets it
      rankVariable: 'RANK',
      head: async () => ['--head', `127.0.0.1:${await freePort()}`],
      interrupt: (job) => void job.signal('SIGINT'),
      keepsWords: false,
    }),
    site,
  );
});
