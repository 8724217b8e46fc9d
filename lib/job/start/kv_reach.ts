/** Where ranks of a head's machine let ranks of other instances read. Pure. */
import type { ExpertwireConfig } from '../../config/schema.js';

/** Where a door listens, and under which host others find it. */
export interface KvReach {
  readonly bind: string;
  readonly advertise: string;
}

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/**
 * As other machines reach the instance: `advertise` (serve --advertise), else the host of `cluster.url`, else that at which its server listens.
 * Undefined: with the data links, which without `--listen` is this machine alone. A server at one address has its doors there too; one at loopback
 * stands behind a proxy of its machine, which doors don't: they listen at all addresses then.
 */
export function kvReachOf(
  { cluster, server }: Pick<ExpertwireConfig, 'cluster' | 'server'>,
  advertise: string | undefined,
): KvReach | undefined {
  if (!cluster.enabled) return undefined;
  const isAnywhere = WILDCARDS.has(server.host);
  const host = advertise ?? hostOf(cluster.url) ?? (isAnywhere ? undefined : server.host);
  if (host === undefined || isLoopback(host)) return undefined;
  if (isAnywhere) return { bind: server.host, advertise: host };
  return { bind: isLoopback(server.host) ? '0.0.0.0' : server.host, advertise: host };
}

const hostOf = (url: string | null): string | undefined =>
  url === null ? undefined : new URL(url).hostname.replace(/^\[|\]$/g, '');

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
