/** What parts of the server see of the cluster that it is in. */
import type { FastifyRequest } from 'fastify';
import type { ServerContext } from '../base/part.js';
import type { Instance } from './instance.js';
import type { Leases } from './leases.js';

/** The cluster, as seen from one instance. */
export interface ServedCluster {
  readonly instance: Instance;
  readonly leases: Leases;
  /** A router sends it, or another instance. */
  readonly isOfCluster: (request: Pick<FastifyRequest, 'headers' | 'socket'>) => boolean;
  /** Instances are on other machines too: without a cluster key all are on this one. */
  readonly hasKeys: boolean;
}

/** A context with a cluster, or without: then it is null. */
export interface ClusterContext extends ServerContext {
  readonly cluster: ServedCluster | null;
}
