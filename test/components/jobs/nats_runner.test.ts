/** Runs of experiments in line on a real nats-server: the same suite as on any other. */
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLUSTER_DEFAULTS } from '../../../lib/config/cluster_schema.js';
import { QueueRunner } from '../../../lib/experiment/runners/queue/queue_runner.js';
import { sessionOf } from '../../../lib/experiment/runners/queue/run_tasks.js';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { openNatsJobBus } from '../../../lib/jobs/nats/nats_job_bus.js';
import { describeRunner } from '../../contracts/runner_contract.js';
import { NatsServer, natsServer } from '../../kit/cluster/nats_server.js';
import { measuringWorker } from '../../kit/experiment/measuring_worker.js';
import { Processes } from '../../kit/processes/processes.js';

const processes = new Processes();

describe('runs in line on a real nats-server', function () {
  this.timeout(120_000);
  let server: NatsServer;
  let scratch: string;
  let numWorkers = 0;
  let closeServer = (): Promise<void> => Promise.resolve(); // it may not be installed
  const ends: (() => Promise<void>)[] = [];

  before(async function () {
    if ((await natsServer()) === null) this.skip();
    server = await NatsServer.start();
    closeServer = () => server.close();
    processes.markThisProcess(); // the server is not marked
  });
  after(() => closeServer());
  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'expertwire-test-'));
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
    await rm(scratch, { recursive: true });
    await processes.allGone();
  });

  const open = (): Promise<JobBus> => openNatsJobBus({ ...CLUSTER_DEFAULTS, bus: server.url });

  const hasBegun = (): boolean =>
    readdirSync(scratch, { recursive: true, encoding: 'utf8' }).some((name) => name.endsWith('began'));

  describeRunner(
    'over NATS',
    async (graceMs) => {
      const bus = await open();
      const worker = await measuringWorker({ bus, id: `worker-${numWorkers++}`, scratch, graceMs });
      ends.push(async () => {
        await worker.end(0);
        await bus.close();
      });
      return new QueueRunner({ bus: await open(), session: sessionOf('played', scratch), width: 4 });
    },
    processes,
    { endsLater: true, waitsForLast: false, hasBegun },
  );
});
