/** Who may call: everybody, who has an API key, or clients of this machine. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../base/api_error.js';
import type { Access } from '../base/part.js';
import { hostOf, isLoopback } from './host_names.js';

/** The keys of a server; none: everybody may call. Only their digests are kept. */
export class ApiKeys {
  private readonly digests: readonly Buffer[];

  constructor(keys: readonly string[]) {
    this.digests = keys.map(digestOf);
  }

  /** @throws ApiError INVALID_API_KEY, LOCAL_ONLY */
  check({ headers, socket }: FastifyRequest, access: Access): void {
    if (access === 'open') return;
    if (this.digests.length > 0) {
      const key = /^Bearer +(.+)$/i.exec(headers.authorization ?? '')?.[1];
      if (key !== undefined && this.has(key)) return;
      const what =
        headers.authorization === undefined ? 'there is no API key' : 'the API key is not one of this server';
      throw new ApiError('INVALID_API_KEY', `${what}; send Authorization: Bearer KEY`);
    }
    // Why: docs/decisions/serving.md#this-machine-is-an-address-and-a-name
    const isLocal = isLoopback(socket.remoteAddress ?? '') && isLoopback(hostOf(headers.host ?? '') ?? '');
    if (access === 'key' || isLocal) return;
    throw new ApiError(
      'LOCAL_ONLY',
      'without an API key this is for clients of this machine alone, who call it localhost; start the server with one',
    );
  }

  /** Tells one who sends a request from others: by the key. Where there are none, all are alike. */
  readonly callerOf = ({ headers }: Pick<FastifyRequest, 'headers'>): string =>
    this.digests.length === 0 ? '' : digestOf(headers.authorization ?? '').toString('hex');

  /** Takes as long for every key: digests are compared, all of them, in constant time. */
  private has(key: string): boolean {
    const digest = digestOf(key);
    return this.digests.map((each) => timingSafeEqual(each, digest)).includes(true);
  }
}

const digestOf = (key: string): Buffer => createHash('sha256').update(key).digest();
