/** From a server's configuration to the cluster that it is in. */
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { ServerContext } from '../base/part.js';
import type { ApiKeys } from '../http/api_keys.js';
import type { ServedCluster } from './cluster_context.js';
import { Instance } from './instance.js';
import { Leases } from './leases.js';

/** Null where `cluster.enabled` is false. */
export function servedCluster(context: ServerContext, keys: ApiKeys): ServedCluster | null {
  if (!context.config.cluster.enabled) return null;
  const instance = new Instance(context);
  const leases = new Leases(context.engine, () => instance.place);
  return { instance, leases, isOfCluster: keys.isOfCluster, hasKeys: keys.hasClusterKeys };
}

/** What can be told of an instance before its engine is started. @throws ConfigError INVALID_VALUE */
export function checkCluster({ cluster, server, experts }: ExpertwireConfig): void {
  if (!cluster.enabled) return;
  if (server.journal !== null) throw excluded('server.journal', 'which another head would go on from');
  if (experts.routing !== 'gate') throw excluded('experts.routing', 'which chooses experts by the number of a request');
}

function excluded(key: string, why: string): ConfigError {
  const text = `"cluster.enabled" is true, and so requests go on in other instances; leave out "${key}", ${why}`;
  return new ConfigError('INVALID_VALUE', text, { key });
}
