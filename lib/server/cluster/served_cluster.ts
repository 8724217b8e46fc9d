/** From a server's configuration to the cluster that it is in. */
import type { Bus } from '../../cluster/bus/bus.js';
import { InstanceEvents } from '../../cluster/bus/instance_events.js';
import { InstanceTeller } from '../../cluster/bus/instance_teller.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { BlockHolder } from '../../protocol/kv_loan.js';
import { isPooled } from '../../protocol/kv_pool.js';
import type { ServerContext } from '../base/part.js';
import type { MovingEngine, ServedEngine } from '../base/served_engine.js';
import type { ApiKeys } from '../http/api_keys.js';
import { Instance } from './instance.js';
import { HttpBlockHolder } from './http_block_holder.js';
import { Leases } from './leases.js';
import { SilentHolders } from './silent_holders.js';
import { Loans } from './loans.js';

/** The cluster, as seen from one instance of it. */
export class ServedCluster {
  readonly instance: Instance;
  readonly leases: Leases;
  /** Blocks that others read here. */
  readonly loans: Loans;
  /** For who follows it over HTTP. */
  readonly events: InstanceEvents;
  private readonly teller: InstanceTeller;
  private readonly silent = new SilentHolders();
  private readonly unwatch: () => void;
  /** Null: routers ask this server itself. */
  private bus: Bus | null = null;

  constructor(
    private readonly context: ServerContext & { readonly engine: ServedEngine & MovingEngine },
    private readonly keys: Pick<ApiKeys, 'isOfCluster' | 'hasClusterKeys'>,
    private readonly clusterKey: string | null,
  ) {
    const { config, modelName, log, engine } = context;
    this.instance = new Instance({ config, modelName, engine });
    this.leases = new Leases(engine, () => this.instance.place);
    this.loans = new Loans(engine, config.cluster.lease_timeout_ms);
    this.teller = new InstanceTeller(engine, {
      record: this.instance.record,
      intervalMs: config.cluster.load_interval_ms,
      onTrouble: (error) => log.warn(error === null ? 'routers see this instance again' : error.message),
    });
    this.instance.watch((record) => this.teller.update(record));
    // The engine's load knows of it when all have heard.
    this.unwatch = engine.watch({ enter: () => void setImmediate(() => this.instance.refresh()) });
    this.events = new InstanceEvents(this.teller, { heartbeatMs: config.cluster.heartbeat_ms });
  }

  /** Whose instance this is. */
  get engine(): MovingEngine {
    return this.context.engine;
  }

  /** A router sends it, or another instance. */
  get isOfCluster(): ApiKeys['isOfCluster'] {
    return this.keys.isOfCluster;
  }

  /** Instances are on other machines too: without a cluster key all are on this one. */
  get hasKeys(): boolean {
    return this.keys.hasClusterKeys;
  }

  /** Another instance that may have blocks for one here. Null: nobody's blocks are of use. */
  holderAt(url: string): BlockHolder | null {
    const { kvIdentity, limits } = this.context.engine;
    const { fingerprint, sharing } = kvIdentity;
    if (sharing === null || !isPooled(this.context.config)) return null;
    const identity = { fingerprint, sharing, block_size: limits.blockSize };
    return new HttpBlockHolder(url, { identity, clusterKey: this.clusterKey, silent: this.silent });
  }

  /** The server listens: it is there for all who meet at `cluster.bus`. @throws ClusterError BUS_FAILED */
  async enter(): Promise<void> {
    const { config, env } = this.context;
    if (config.cluster.bus === 'local') return;
    const { openNatsBus } = await import('../../cluster/bus/nats/nats_bus.js');
    this.bus = await openNatsBus(config.cluster, env);
    this.teller.add(await this.bus.join(this.instance.record, this.teller));
  }

  /** It is gone for all. Idempotent. */
  async close(): Promise<void> {
    this.unwatch();
    await this.teller.close();
    await this.bus?.close();
  }
}

/** Null where `cluster.enabled` is false. @throws ConfigError INVALID_VALUE */
export function servedCluster(
  context: ServerContext,
  keys: ApiKeys,
  clusterKeys: readonly string[],
): ServedCluster | null {
  const { engine, config } = context;
  if (!config.cluster.enabled) return null;
  if (isMoving(engine)) return new ServedCluster({ ...context, engine }, keys, clusterKeys[0] ?? null);
  throw excluded('cluster.enabled', 'since those of this engine stay where they are');
}

/** What can be told of an instance before its engine is started. @throws ConfigError INVALID_VALUE */
export function checkCluster({ cluster, server, experts }: ExpertwireConfig): void {
  if (!cluster.enabled) return;
  if (server.journal !== null) throw excluded('server.journal', 'which another head would go on from');
  if (experts.routing !== 'gate') throw excluded('experts.routing', 'which chooses experts by the number of a request');
  const { heartbeat_ms: heartbeatMs, ttl_ms: ttlMs } = cluster;
  if (ttlMs >= MIN_HEARTBEATS * heartbeatMs) return;
  const text = `"cluster.ttl_ms" is ${ttlMs}, and "cluster.heartbeat_ms" ${heartbeatMs}: one late heartbeat would count as none; give at least ${MIN_HEARTBEATS} times as much`;
  throw new ConfigError('INVALID_VALUE', text, { key: 'cluster.ttl_ms' });
}

/** In the time after which an instance that isn't heard is gone. */
const MIN_HEARTBEATS = 3;

const isMoving = (engine: ServedEngine): engine is ServedEngine & MovingEngine => engine.offer !== undefined;

function excluded(key: string, why: string): ConfigError {
  const text = `"cluster.enabled" is true, and so requests go on in other instances; leave out "${key}", ${why}`;
  return new ConfigError('INVALID_VALUE', text, { key });
}
