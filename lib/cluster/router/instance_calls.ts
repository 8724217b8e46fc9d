/** What a router asks instances of ours besides requests of clients. */
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { Role } from '../../config/cluster_schema.js';
import type { OfferedParams } from '../../server/cluster/transfer_params.js';
import { ClusterError } from '../base/errors.js';
import type { Copy } from '../routing/pool/replicas.js';
import type { Leg } from './passage/leg.js';
import type { Upstream } from './upstream/upstream.js';

/** All of them answer at once. */
const TIMEOUT_MS = 5000;
/** Bytes move first. */
const COPY_TIMEOUT_MS = 60_000;

/** Asks with the key of the cluster. */
export class InstanceCalls {
  constructor(private readonly clusterKey: string | null) {}

  /** A lease on what a leg computes. @throws ClusterError MOVE_FAILED */
  readonly offer = async ({ upstream }: Leg, request: string): Promise<OfferedParams> => {
    const answer = await this.post(upstream, '/v1/kv/leases', { request_id: request });
    return answer as OfferedParams; // what it says is the target's to check
  };

  /** Has an instance take another role. @throws ClusterError MOVE_FAILED */
  async setRole(upstream: Upstream, role: Role): Promise<void> {
    await this.post(upstream, '/role', { role });
  }

  /** Has an instance bring blocks from others. How many of them it has now, from the first one on. @throws ClusterError COPY_FAILED */
  async fetch(upstream: Upstream, { keys, holders }: Pick<Copy, 'keys' | 'holders'>): Promise<number> {
    try {
      const answer = await this.post(upstream, '/v1/kv/fetch', { keys, holders }, COPY_TIMEOUT_MS);
      const { num_blocks: numBlocks } = answer as { readonly num_blocks?: unknown };
      if (typeof numBlocks === 'number') return numBlocks;
      throw refused(upstream, 'does not say how many blocks it has');
    } catch (error) {
      if (!(error instanceof ClusterError)) throw error;
      throw new ClusterError('COPY_FAILED', error.text, { instance: upstream.id, cause: error });
    }
  }

  private async post(upstream: Upstream, path: string, body: object, timeoutMs = TIMEOUT_MS): Promise<unknown> {
    const headers = {
      'content-type': 'application/json',
      ...(this.clusterKey !== null && { authorization: `Bearer ${this.clusterKey}` }),
    };
    const request = { method: 'POST', path, headers, body: Buffer.from(JSON.stringify(body)) };
    const { status, text } = await upstream.askShort(request, timeoutMs).catch((cause: unknown) => {
      throw refused(upstream, 'did not answer', cause);
    });
    const value = jsonOrUndefined(text);
    if (status < 300 && value !== undefined) return value;
    const { error } = (value ?? {}) as { readonly error?: { readonly message?: unknown } };
    throw refused(upstream, typeof error?.message === 'string' ? `says: ${error.message}` : `answered ${status}`);
  }
}

const refused = ({ id }: Upstream, why: string, cause?: unknown): ClusterError =>
  new ClusterError('MOVE_FAILED', `instance ${id} ${why}; everything stays as it is`, { instance: id, cause });
