/** How a request is part of the work of a cluster: where it comes from, and whether it may go on elsewhere. Pure. */
import type { FastifyRequest } from 'fastify';
import { ApiError } from '../base/api_error.js';
import { isLoopback } from '../http/host_names.js';
import type { ServedCluster } from './served_cluster.js';
import type { LeasePlace } from './http_kv_source.js';
import type { Resume } from './resume_field.js';
import { ROUTER_HEADER } from './stream_notes.js';
import type { TransferParams } from './transfer_params.js';

/** Fields of a body that are for clusters. */
export interface ClusterFields {
  readonly kv_transfer_params?: TransferParams | null | undefined;
  readonly resume?: Resume | null | undefined;
  readonly stream?: boolean | null | undefined;
}

/** What a request says to an instance. */
export interface RequestTerms {
  /** A router sends it: its stream has notes, and it may go on elsewhere. */
  readonly isRouted: boolean;
  /** It is to go on elsewhere behind its first token. */
  readonly handsOver: boolean;
  /** Another instance has it. Null: none does. */
  readonly source: LeasePlace | null;
  /** Tokens of it that were told already. Null: nobody said. */
  readonly resume: Resume | null;
  /** That its tokens are drawn with, where somebody drew them before. */
  readonly seed: number | null;
  /** Instances that may have blocks of its prompt: URLs without a path. */
  readonly holders: readonly string[];
}

/** Of a request that is on its own. */
const NONE: RequestTerms = { isRouted: false, handsOver: false, source: null, resume: null, seed: null, holders: [] };

/** @throws ApiError UNSUPPORTED, CLUSTER_ONLY, INVALID_VALUE */
export function termsOf(
  request: Pick<FastifyRequest, 'headers' | 'socket'>,
  { kv_transfer_params: params, resume = null, stream }: ClusterFields,
  cluster: Pick<ServedCluster, 'isOfCluster' | 'hasKeys'> | null,
): RequestTerms {
  const transfer = params?.do_remote_decode === true || params?.do_remote_prefill === true ? params : null;
  const hasHolders = (params?.holders?.length ?? 0) > 0;
  if (cluster === null) {
    if (transfer !== null || hasHolders) throw noCluster('kv_transfer_params');
    if (resume !== null) throw noCluster('resume');
    return NONE;
  }
  const isOfCluster = cluster.isOfCluster(request);
  const isRouted = isOfCluster && request.headers[ROUTER_HEADER] === '1';
  if (transfer === null && resume === null && !hasHolders) return { ...NONE, isRouted };
  if (!isOfCluster) throw strange(transfer === null && !hasHolders ? 'resume' : 'kv_transfer_params');
  const holders = (params?.holders ?? []).map((url) => holderIn(url, cluster));
  const handsOver = transfer?.do_remote_decode === true;
  if (handsOver && transfer.do_remote_prefill === true) throw wrong('do_remote_decode', BOTH);
  if (handsOver && stream === true && !isRouted) throw new ApiError('UNSUPPORTED', NO_NOTES, { param: PARAMS });
  const source = transfer !== null && !handsOver ? placeOf(transfer, cluster) : null;
  return { isRouted, handsOver, source, resume, seed: resume?.seed ?? transfer?.seed ?? null, holders };
}

const PARAMS = 'kv_transfer_params';
const BOTH = 'it and do_remote_prefill are true; a request goes on here, or elsewhere';
const NO_NOTES =
  'kv_transfer_params.do_remote_decode is answered in whole answers, or in notes to a router; leave stream out';

/** @throws ApiError INVALID_VALUE */
function placeOf(params: TransferParams, { hasKeys }: Pick<ServedCluster, 'hasKeys'>): LeasePlace {
  const { remote_host: host, remote_port: port, remote_tls: isTls, lease_id: id, lease_token: token } = params;
  if (host == null) throw wrong('remote_host', MISSING);
  if (port == null) throw wrong('remote_port', MISSING);
  if (id == null) throw wrong('lease_id', MISSING);
  if (token == null) throw wrong('lease_token', MISSING);
  // Why: docs/decisions/cluster.md#who-may-name-a-host
  if (!hasKeys && !isLoopback(host)) throw wrong('remote_host', NOT_LOOPBACK);
  return { host, port, isTls: isTls === true, id, token };
}

/** What comes behind the host isn't asked for. @throws ApiError INVALID_VALUE */
export function holderIn(url: string, { hasKeys }: Pick<ServedCluster, 'hasKeys'>): string {
  const { origin, hostname } = new URL(url);
  if (!hasKeys && !isLoopback(hostname)) throw wrong('holders', NOT_LOOPBACK);
  return origin;
}

const MISSING = 'it is missing; give what the other instance answered as kv_transfer_params';
const NOT_LOOPBACK = 'it is another machine, and there is no cluster key; start all instances with one';

const wrong = (field: string, why: string): ApiError =>
  new ApiError('INVALID_VALUE', `kv_transfer_params.${field}: ${why}`, { param: `${PARAMS}.${field}` });

const noCluster = (param: string): ApiError =>
  new ApiError('UNSUPPORTED', `this server is no instance of a cluster, and takes no ${param}; set cluster.enabled`, {
    param,
  });

const strange = (param: string): ApiError =>
  new ApiError(
    'CLUSTER_ONLY',
    `${param} is for routers and instances of this cluster; send the cluster key, or leave it out`,
    {
      param,
    },
  );
