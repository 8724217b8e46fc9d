/**
 * Under which names a server answers, and to pages of which origins. A page of anywhere can have its name lead to 127.0.0.1 and so call a server that only this
 * machine reaches: its browser says the page's name in Host and Origin.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { shown } from '../../../base/foreign_text.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import { ApiError } from '../base/api_error.js';
import { hostOf, isLoopback } from './host_names.js';

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]'];
/** How long a browser may remember what it may do. */
const PREFLIGHT_MAX_AGE_S = '600';

/** Checks Host and Origin, and answers browsers that ask before they call. */
export class HostCheck {
  /** Null: any. */
  private readonly names: ReadonlySet<string> | null;
  private readonly origins: ReadonlySet<string>;

  constructor({ host, allowed_hosts: allowed, cors_origins: origins }: ExpertwireConfig['server']) {
    const own = host.includes(':') ? `[${host}]` : host;
    const isAny = allowed.length === 0 && !isLoopback(host);
    this.names = isAny ? null : new Set([...LOOPBACK_NAMES, own, ...allowed].map((name) => name.toLowerCase()));
    this.origins = new Set(origins);
  }

  /**
   * Whether the request is answered with what this sent: a browser asked whether it may call.
   * @throws ApiError INVALID_REQUEST, HOST_NOT_ALLOWED, ORIGIN_NOT_ALLOWED
   */
  check({ method, headers }: FastifyRequest, reply: FastifyReply): boolean {
    const { host = '', origin } = headers;
    if (host === '') throw new ApiError('INVALID_REQUEST', 'there is no Host header; send one');
    if (this.names !== null && !this.names.has(hostOf(host) ?? '')) {
      throw new ApiError('HOST_NOT_ALLOWED', `this server isn't ${shown(host)}; add that name to server.allowed_hosts`);
    }
    if (origin === undefined || isOwn(origin, host)) return false;
    if (!this.origins.has('*') && !this.origins.has(origin)) {
      throw new ApiError('ORIGIN_NOT_ALLOWED', `pages of ${shown(origin)} may not call; add it to server.cors_origins`);
    }
    void reply.headers({
      'access-control-allow-origin': origin,
      'access-control-expose-headers': 'x-request-id, retry-after',
      vary: 'origin',
    });
    if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return false;
    void reply.code(204).headers({
      'access-control-allow-methods': 'GET, POST, DELETE',
      'access-control-allow-headers': headers['access-control-request-headers'] ?? '',
      'access-control-max-age': PREFLIGHT_MAX_AGE_S,
    });
    void reply.send();
    return true;
  }
}

function isOwn(origin: string, host: string): boolean {
  const match = /^https?:\/\/(.+)$/.exec(origin);
  return match?.[1] === host.toLowerCase();
}
