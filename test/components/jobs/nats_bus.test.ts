/** The bus of jobs over a real nats-server does what every bus of jobs does. */
import { jobBusContract } from '../../contracts/job_bus_contract.js';
import { natsServer } from '../../kit/cluster/nats_server.js';
import { natsUnderTest } from '../../kit/jobs/buses_under_test.js';

describe('jobs over NATS', function () {
  before(async function () {
    if ((await natsServer()) === null) this.skip();
  });

  jobBusContract('NATS', natsUnderTest);
});
