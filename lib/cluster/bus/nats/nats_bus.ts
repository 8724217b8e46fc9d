/** The bus over servers of NATS: an instance joins and routers watch from wherever they are. */
import type { ExpertwireConfig } from '../../../config/schema.js';
import { ClusterError } from '../../base/errors.js';
import type { InstanceRecord } from '../../base/instance_record.js';
import type { Bus, BusListener, MemberEvents, Membership } from '../bus.js';
import { checkedRecord } from '../messages.js';
import { NatsLink } from './nats_link.js';
import { NatsMember, type NatsTimes } from './nats_member.js';
import { natsOptionsOf, type NatsEnvironment } from './nats_options.js';
import { NatsWatch } from './nats_watch.js';

/** How long the servers may take to be there. */
const PATIENCE_MS = 15_000;

/**
 * Connects to the servers of `cluster.bus`. `env`: of the process, for secrets.
 * @throws ClusterError BUS_FAILED
 */
export async function openNatsBus(
  cluster: ExpertwireConfig['cluster'],
  env: NatsEnvironment = {},
  patienceMs = PATIENCE_MS,
): Promise<Bus> {
  const { name, heartbeat_ms: heartbeatMs, ttl_ms: ttlMs } = cluster;
  const link = await NatsLink.connect({ connection: natsOptionsOf(cluster, env), patienceMs });
  return new NatsBus(link, { name, heartbeatMs, ttlMs });
}

/** One connection, for all that join and watch here. */
class NatsBus implements Bus {
  private readonly members = new Set<NatsMember>();
  private readonly watches = new Set<NatsWatch>();
  private closing: Promise<void> | null = null;

  constructor(
    private readonly link: NatsLink,
    private readonly times: NatsTimes,
  ) {}

  /** As {@link Bus.join}. */
  async join(given: InstanceRecord, events: MemberEvents): Promise<Membership> {
    this.checkOpen();
    const member = new NatsMember(this.link, checkedRecord(given, given.id), events, this.times);
    await member.enter();
    this.members.add(member);
    return member;
  }

  /** As {@link Bus.watch}. */
  watch(listener: BusListener): () => void {
    this.checkOpen();
    const watch = new NatsWatch(this.link, listener, this.times);
    this.watches.add(watch);
    return () => {
      watch.stop();
      this.watches.delete(watch);
    };
  }

  /** As {@link Bus.close}. */
  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    for (const watch of this.watches) watch.stop();
    await Promise.all([...this.members].map((member) => member.leave()));
    await this.link.close();
  }

  private checkOpen(): void {
    if (this.closing !== null) throw new ClusterError('CLOSED', 'the bus was closed; open another');
  }
}
