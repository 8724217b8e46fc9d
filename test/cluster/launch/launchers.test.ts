/** launch.sh under the launchers of clusters, with real processes. */
import type { Server } from 'node:net';
import { closeServer, freePort, listenOn, portOf } from '../../kit/processes/ports.js';
import { LaunchSite, COMMAND, expectGolden, expectQuietSuccess } from '../../kit/processes/launch_site.js';

const site = new LaunchSite();

describe('launch.sh under a launcher', function () {
  this.timeout(60_000);

  before(site.create);
  after(site.remove);
  afterEach(site.processes.expectNone);

  /** The same line twice, as a launcher starts it. */
  async function expectJob(args: readonly string[], envOf: (rank: string) => Record<string, string>): Promise<void> {
    const [first, second] = ['0', '1'].map((rank) => site.start([...args, ...COMMAND], envOf(rank)));
    expectGolden(await first!.ended);
    expectQuietSuccess(await second!.ended);
  }

  it('Slurm: rank and size come from the environment', async () => {
    const head = ['--head', `127.0.0.1:${await freePort()}`];
    await expectJob(head, (rank) => ({
      SLURM_PROCID: rank,
      SLURM_NTASKS: '2',
      SLURM_LOCALID: rank,
      SLURM_STEP_ID: '0',
      SLURM_JOB_NODELIST: 'localhost',
    }));
  });

  it('Open MPI: rank and size come from the environment', async () => {
    const head = ['--head', `127.0.0.1:${await freePort()}`];
    await expectJob(head, (rank) => ({
      OMPI_COMM_WORLD_RANK: rank,
      OMPI_COMM_WORLD_SIZE: '2',
      OMPI_COMM_WORLD_LOCAL_RANK: rank,
    }));
  });

  it('torchrun: the address too, while torchrun holds MASTER_PORT itself', async () => {
    const { server, port } = await holdPortBeforeFreeOne();
    try {
      await expectJob([], (rank) => ({
        RANK: rank,
        WORLD_SIZE: '2',
        LOCAL_RANK: rank,
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: String(port),
      }));
    } finally {
      await closeServer(server);
    }
  });
});

/** A server on a port after which another one is free. */
async function holdPortBeforeFreeOne(): Promise<{ readonly server: Server; readonly port: number }> {
  for (;;) {
    const server = await listenOn(0);
    const port = portOf(server);
    try {
      if (port < 65535) {
        await closeServer(await listenOn(port + 1));
        return { server, port };
      }
    } catch {
      // taken: try another pair
    }
    await closeServer(server);
  }
}
