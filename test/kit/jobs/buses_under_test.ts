/** Buses of jobs with nothing in them, as suites take them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { openLocalJobBus } from '../../../lib/jobs/local/local_job_bus.js';
import type { JobBusUnderTest } from '../../contracts/job_bus/scene.js';
import { NatsScene } from './nats_scene.js';

/** In a folder of its own. */
export async function folderUnderTest(): Promise<JobBusUnderTest> {
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
}

/** On a server of NATS of its own, which has to be installed. */
export async function natsUnderTest(): Promise<JobBusUnderTest> {
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
}
