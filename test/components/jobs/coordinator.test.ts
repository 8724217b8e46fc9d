/** Jobs over a real nats-server come to their ends, whoever leads. */
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { coordinatorContract } from '../../contracts/coordinator_contract.js';
import { natsServer } from '../../kit/cluster/nats_server.js';
import { NatsScene } from '../../kit/jobs/nats_scene.js';

describe('jobs led over NATS', function () {
  before(async function () {
    if ((await natsServer()) === null) this.skip();
  });

  coordinatorContract('NATS', async () => {
    const scene = new NatsScene();
    const server = await scene.start();
    const buses: JobBus[] = [];
    const connect = async (): Promise<JobBus> => {
      const bus = await scene.open(server.url);
      buses.push(bus);
      return bus;
    };
    const restart = async (): Promise<JobBus> => {
      for (const bus of buses) await bus.close();
      await server.restart();
      return connect();
    };
    return { connect, restart, close: () => scene.close() };
  });
});
