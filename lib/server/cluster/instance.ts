/** This server as an instance of a cluster: what others are told of it, and what of that changes while it runs. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { InstanceRecord } from '../../cluster/base/instance_record.js';
import type { Role } from '../../config/cluster_schema.js';
import { blockSharingOf } from '../../cluster/routing/prompt_keys.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { isPooled } from '../../protocol/kv_pool.js';
import type { MovingEngine, ServedEngine } from '../base/served_engine.js';
import { urlOf } from '../http/listening.js';
import type { InstancePlace } from './lease.js';

/** What a record is made of. */
export interface InstanceParts {
  readonly engine: Pick<ServedEngine, 'limits' | 'load'> & Pick<MovingEngine, 'kvIdentity' | 'prefixSharing'>;
  readonly config: Pick<ExpertwireConfig, 'cluster' | 'server' | 'engine'>;
  readonly modelName: string;
}

/** Who follows the record. */
type OnRecord = (record: InstanceRecord) => void;

/** One instance. */
export class Instance {
  readonly id: string;
  private readonly incarnation = randomUUID();
  private role: Role;
  private isDraining = false;
  private url: string;
  private readonly listeners = new Set<OnRecord>();

  constructor(private readonly parts: InstanceParts) {
    const { cluster, server } = parts.config;
    this.id = cluster.id ?? `instance-${randomBytes(6).toString('hex')}`;
    this.role = cluster.role;
    this.url = cluster.url ?? urlOf(server, server.port);
  }

  /** As it is now. */
  get record(): InstanceRecord {
    const { engine, modelName, config } = this.parts;
    const { limits, load, kvIdentity, prefixSharing } = engine;
    const { id, incarnation, url, role, isDraining } = this;
    return {
      ...{ id, incarnation, url, kind: 'own', role, isDraining, model: modelName },
      fingerprint: kvIdentity.fingerprint,
      numRanks: load.ranks.length,
      ...{ blockSize: limits.blockSize, maxModelLen: limits.maxModelLen },
      numKvBlocks: load.ranks.reduce((sum, { numKvBlocks }) => sum + numKvBlocks, 0),
      sharing: blockSharingOf(prefixSharing),
      isPooled: prefixSharing !== null && isPooled(config),
    };
  }

  /** Where other instances find it. */
  get place(): InstancePlace {
    const { hostname, port, protocol } = new URL(this.url);
    const isTls = protocol === 'https:';
    const remote_port = port === '' ? (isTls ? 443 : 80) : Number(port);
    return { remote_engine_id: this.id, remote_host: hostname, remote_port, remote_tls: isTls };
  }

  /** What its requests are for from now on. */
  setRole(role: Role): void {
    this.role = role;
    this.tell();
  }

  /** It takes no new requests any more. */
  drain(): void {
    this.isDraining = true;
    this.tell();
  }

  /** The server listens there, which is what others are told unless `cluster.url` says otherwise. */
  listensAt(url: string): void {
    this.url = this.parts.config.cluster.url ?? url;
    this.tell();
  }

  /** Ranks came, went, or were lost. */
  refresh(): void {
    this.tell();
  }

  /** Tells of each change from now on; returns how to stop that. */
  watch(listener: OnRecord): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    const { record } = this;
    for (const listener of this.listeners) listener(record);
  }
}
