/** Jobs over a real nats-server come to their ends, whoever leads. */
import { coordinatorContract } from '../../contracts/coordinator_contract.js';
import { natsServer } from '../../kit/cluster/nats_server.js';
import { natsUnderTest } from '../../kit/jobs/buses_under_test.js';

describe('jobs led over NATS', function () {
  before(async function () {
    if ((await natsServer()) === null) this.skip();
  });

  coordinatorContract('NATS', natsUnderTest);
});
