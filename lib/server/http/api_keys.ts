/** Who may call: everybody, who has an API key, clients of this machine, or routers and instances of the same cluster. */
import { timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { CHALLENGE_HEADER, isChallenge, keyDigest as digestOf, proofOf } from '../../cluster/base/key_proof.js';
import { ApiError } from '../base/api_error.js';
import type { Access } from '../base/part.js';
import { hostOf, isLoopback } from './host_names.js';

/** Where a request comes from. */
type Caller = Pick<FastifyRequest, 'headers' | 'socket'>;

/** The keys of a server; no API keys: everybody may call. Only digests are kept. */
export class ApiKeys {
  private readonly digests: readonly Buffer[];
  private readonly clusterDigests: readonly Buffer[];

  /** `clusterKeys`: none: who calls from this machine belongs to the cluster. */
  constructor(keys: readonly string[], clusterKeys: readonly string[] = []) {
    this.digests = keys.map(digestOf);
    this.clusterDigests = clusterKeys.map(digestOf);
  }

  /** @throws ApiError INVALID_API_KEY, LOCAL_ONLY, CLUSTER_ONLY */
  check(request: Caller, access: Access): void {
    if (access === 'open' || hasKey(request, this.clusterDigests)) return;
    if (access === 'cluster') return this.checkCluster(request);
    if (this.digests.length > 0) return this.checkKey(request);
    if (access === 'local' && !isLocal(request)) throw new ApiError('LOCAL_ONLY', LOCAL_TEXT);
  }

  /** Whether a router sends it, or another instance of the cluster. */
  readonly isOfCluster = (request: Caller): boolean => {
    if (this.clusterDigests.length > 0) return hasKey(request, this.clusterDigests);
    return isLocal(request) && (this.digests.length === 0 || hasKey(request, this.digests));
  };

  /** There are cluster keys: who calls from this machine isn't of the cluster for that alone. */
  get hasClusterKeys(): boolean {
    return this.clusterDigests.length > 0;
  }

  /** What shows a router that this server has its key; empty: there is none. Undefined: nobody asks. */
  proof({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined {
    const challenge = headers[CHALLENGE_HEADER];
    return isChallenge(challenge) ? this.clusterDigests.map((digest) => proofOf(digest, challenge)).join() : undefined;
  }

  /** Tells one who sends a request from others: by the key. Where there are none, all are alike. */
  readonly callerOf = ({ headers }: Pick<FastifyRequest, 'headers'>): string =>
    this.digests.length === 0 ? '' : digestOf(headers.authorization ?? '').toString('hex');

  private checkKey(request: Caller): void {
    if (hasKey(request, this.digests)) return;
    const isAbsent = request.headers.authorization === undefined;
    const what = isAbsent ? 'there is no API key' : 'the API key is not one of this server';
    throw new ApiError('INVALID_API_KEY', `${what}; send Authorization: Bearer KEY`);
  }

  private checkCluster(request: Caller): void {
    if (this.isOfCluster(request)) return;
    throw new ApiError('CLUSTER_ONLY', this.hasClusterKeys ? CLUSTER_TEXT : NO_CLUSTER_KEY_TEXT);
  }
}

const LOCAL_TEXT =
  'without an API key this is for clients of this machine alone, who call it localhost; start the server with one';
const CLUSTER_TEXT =
  'this is for routers and instances of this cluster; send Authorization: Bearer KEY with the cluster key';
const NO_CLUSTER_KEY_TEXT =
  'without a cluster key this is for routers and instances on this machine alone, who call it localhost; start all of them with one';

/** Why: docs/decisions/serving.md#this-machine-is-an-address-and-a-name */
const isLocal = ({ headers, socket }: Caller): boolean =>
  isLoopback(socket.remoteAddress ?? '') && isLoopback(hostOf(headers.host ?? '') ?? '');

/** Takes as long for every key: digests are compared, all of them, in constant time. */
function hasKey({ headers }: Caller, digests: readonly Buffer[]): boolean {
  const key = bearerOf(headers.authorization);
  if (key === null || digests.length === 0) return false;
  const digest = digestOf(key);
  return digests.map((each) => timingSafeEqual(each, digest)).includes(true);
}

/** What a request has in `Authorization: Bearer`; null: nothing. */
export const bearerOf = (authorization: string | undefined): string | null =>
  /^Bearer +(.+)$/i.exec(authorization ?? '')?.[1] ?? null;
