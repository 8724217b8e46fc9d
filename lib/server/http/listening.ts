/** Where a server listens. */
import { createServer } from 'node:net';
import { causeText } from '../../../base/foreign_text.js';
import { ConfigError } from '../../config/errors.js';
import type { ExpertwireConfig } from '../../config/schema.js';

type Place = Pick<ExpertwireConfig['server'], 'host' | 'port'>;

/** Whether the place is free, before ranks load for minutes. @throws ConfigError INVALID_VALUE */
export async function checkAddress({ host, port }: Place): Promise<void> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (cause) => reject(cantListen({ host, port }, cause)));
    probe.listen({ host, port }, () => probe.close(() => resolve()));
  });
}

/** The error for a place where nothing can listen. */
export function cantListen({ host, port }: Place, cause: unknown): ConfigError {
  const isTaken = (cause as { readonly code?: string } | null)?.code === 'EADDRINUSE';
  const text = isTaken
    ? `port ${port} is already in use; give another --port or server.port (0: any free one)`
    : `nothing can listen at ${host} port ${port} (${causeText(cause)}); give another server.host or server.port`;
  return new ConfigError('INVALID_VALUE', text, { key: 'server.port' });
}

/** The address as clients of this machine write it. `port`: the one that it got. */
export function urlOf({ host, tls }: ExpertwireConfig['server'], port: number): string {
  const own = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `${tls.cert === null ? 'http' : 'https'}://${own.includes(':') ? `[${own}]` : own}:${port}`;
}
