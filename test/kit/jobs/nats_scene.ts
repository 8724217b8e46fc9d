/** Buses of jobs over real servers of NATS, for one test. */
import { CLUSTER_DEFAULTS } from '../../../lib/config/cluster_schema.js';
import type { JobBus } from '../../../lib/jobs/base/job_bus.js';
import { openNatsJobBus, type JobBusPatience } from '../../../lib/jobs/nats/nats_job_bus.js';
import { NatsServer, type NatsServerOptions } from '../cluster/nats_server.js';
import { TcpRelay } from '../cluster/tcp_relay.js';

/** Keys of workers and leaders live so long. */
export const NATS_SCENE_TTL_MS = 1000;

type ClusterSettings = typeof CLUSTER_DEFAULTS;

/** As what a bus is opened with. */
export interface OpenOptions extends JobBusPatience {
  readonly settings?: Partial<ClusterSettings>;
  readonly env?: Readonly<Record<string, string>>;
}

/** Times are short: who is silent for a second is gone. */
export const natsSettings = (bus: string, others: Partial<ClusterSettings> = {}): ClusterSettings => ({
  ...{ ...CLUSTER_DEFAULTS, bus, name: 'test', heartbeat_ms: 100, ttl_ms: NATS_SCENE_TTL_MS, ...others },
});

/** What was started, closed by {@link close}, the last one first. */
export class NatsScene {
  private readonly closers: (() => Promise<void>)[] = [];

  async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const server = await NatsServer.start(options);
    this.closers.push(() => server.close());
    return server;
  }

  async open(url: string, { settings, env, ...patience }: OpenOptions = {}): Promise<JobBus> {
    const bus = await openNatsJobBus(natsSettings(url, settings), env, patience);
    this.closers.push(() => bus.close());
    return bus;
  }

  /** A network before the server, and its address. */
  async relay({ port }: NatsServer): Promise<{ readonly relay: TcpRelay; readonly url: string }> {
    const relay = await TcpRelay.open(port);
    this.closers.push(() => relay.close());
    return { relay, url: `nats://127.0.0.1:${relay.port}` };
  }

  async close(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) await close();
  }
}
