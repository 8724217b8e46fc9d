/** What a router asks instances of ours besides requests of clients. */
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import type { Role } from '../../config/cluster_schema.js';
import type { OfferedParams } from '../../server/cluster/transfer_params.js';
import { ClusterError } from '../base/errors.js';
import type { Leg } from './passage/leg.js';
import type { Upstream } from './upstream/upstream.js';

/** All of them answer at once. */
const TIMEOUT_MS = 5000;

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

  private async post(upstream: Upstream, path: string, body: object): Promise<unknown> {
    const headers = {
      'content-type': 'application/json',
      ...(this.clusterKey !== null && { authorization: `Bearer ${this.clusterKey}` }),
    };
    const request = { method: 'POST', path, headers, body: Buffer.from(JSON.stringify(body)) };
    const { status, text } = await upstream.askShort(request, TIMEOUT_MS).catch((cause: unknown) => {
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
