/** Instances that are asked under the URL that a configuration has for them. Pure. */
import type { KnownInstance } from '../../cluster/start/cluster_bus.js';
import type { PlacedInstance } from '../../config/instances.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { UsageError } from '../base/context.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Those that run already, and those of other machines, unless all meet by NATS. @throws UsageError: a key isn't there */
export function knownOf(
  placed: readonly PlacedInstance[],
  { cluster, server }: Pick<ExpertwireConfig, 'cluster' | 'server'>,
  env: Environment,
): readonly KnownInstance[] {
  const keys = keysOf(placed, env);
  return placed.flatMap(({ name: id, host, port, url }) => {
    const apiKey = keys.get(id) ?? null;
    if (url !== null) return [{ id, url: withoutPath(url), apiKey }];
    if (host === null || cluster.bus !== 'local') return [];
    const scheme = server.tls.cert === null ? 'http' : 'https';
    return [{ id, url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`, apiKey }];
  });
}

/** Clients of OpenAI's are given an address with the version of its API. */
const withoutPath = (url: string): string => url.replace(/\/+$/, '').replace(/\/v1$/, '');

/** API keys of servers that run already, by their names. @throws UsageError: one isn't there */
export function keysOf(placed: readonly PlacedInstance[], env: Environment): ReadonlyMap<string, string> {
  const keys = placed.flatMap(({ name, apiKeyEnv }) => {
    if (apiKeyEnv === null) return [];
    const key = env[apiKeyEnv];
    if (key === undefined || key === '')
      throw new UsageError(`instance ${name} needs its API key in the variable ${apiKeyEnv}, which isn't set`);
    return [[name, key] as const];
  });
  return new Map(keys);
}
