/** The bus of jobs over a real nats-server: what every bus of jobs does, and what befalls servers and connections. */
import { CLUSTER_DEFAULTS } from '../../../lib/config/cluster_schema.js';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { openNatsJobBus, type JobBusPatience } from '../../../lib/jobs/nats/nats_job_bus.js';
import { jobBusContract } from '../../contracts/job_bus_contract.js';
import { natsServer, NatsServer, type NatsServerOptions } from '../../kit/cluster/nats_server.js';

/** Of one cluster after the other. */
let numClusters = 0;

const settings = (bus: string, others: object = {}): typeof CLUSTER_DEFAULTS => ({
  ...{ ...CLUSTER_DEFAULTS, bus, name: `test-${numClusters}`, heartbeat_ms: 100, ttl_ms: 1000, ...others },
});

describe('jobs over NATS', function () {
  before(async function () {
    if ((await natsServer()) === null) this.skip();
  });

  /** Closed behind each test, the last one first. */
  let closers: (() => Promise<void>)[];
  beforeEach(() => {
    closers = [];
    numClusters++;
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
  });

  const started = async (options: NatsServerOptions = {}): Promise<NatsServer> => {
    const server = await NatsServer.start(options);
    closers.push(() => server.close());
    return server;
  };
  const opened = async (bus: string, others: object = {}, patience: JobBusPatience = {}): Promise<JobBus> => {
    const connection = await openNatsJobBus(settings(bus, others), {}, patience);
    closers.push(() => connection.close());
    return connection;
  };

  jobBusContract('NATS', async () => {
    const server = await started();
    const buses: JobBus[] = [];
    const connect = async (): Promise<JobBus> => {
      const bus = await opened(server.url);
      buses.push(bus);
      return bus;
    };
    const restart = async (): Promise<JobBus> => {
      for (const bus of buses) await bus.close();
      await server.restart();
      return connect();
    };
    return { connect, restart, close: () => Promise.resolve() };
  });
});
