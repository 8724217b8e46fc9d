import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocalJobBus } from '../../../../lib/jobs/local/local_job_bus.js';
import { coordinatorContract } from '../../../contracts/coordinator_contract.js';

coordinatorContract('a folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'expertwire-test-'));
  let bus = await openLocalJobBus(folder);
  return {
    connect: () => Promise.resolve(bus),
    restart: async () => {
      await bus.close();
      bus = await openLocalJobBus(folder);
      return bus;
    },
    close: async () => {
      await bus.close();
      await rm(folder, { recursive: true });
    },
  };
});
