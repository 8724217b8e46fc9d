/** The requests of this instance that somebody else may go on with. */
import { setTimeout as sleep } from 'node:timers/promises';
import { shown } from '../../../base/foreign_text.js';
import { ApiError } from '../base/api_error.js';
import type { MovingEngine, ServedEngine } from '../base/served_engine.js';
import { Lease, type InstancePlace } from './lease.js';
import type { OfferedParams } from './transfer_params.js';

const POLL_MS = 20;
/** That are over, so that who asks again hears how they ended. */
const MAX_OVER = 256;

/** By their ids. */
export class Leases {
  /** In the order in which they began. */
  private readonly leases = new Map<string, Lease>();

  constructor(
    private readonly engine: Pick<ServedEngine, 'limits'> & Pick<MovingEngine, 'kvIdentity' | 'queued' | 'offer'>,
    private readonly place: () => InstancePlace,
  ) {}

  /** Resolves when none is open any more, at the latest after `timeoutMs`: of requests that are over here, blocks may be wanted still. */
  async idle(timeoutMs: number): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    // To wait for a change would keep them open.
    while (this.hasOpen && performance.now() < endMs) await sleep(Math.min(POLL_MS, timeoutMs));
  }

  private get hasOpen(): boolean {
    return [...this.leases.values()].some(({ offer }) => offer.end === null);
  }

  /**
   * Offers a request, by the id that its client gave it; again what is offered already.
   * @throws EngineError NOT_MOVABLE, QUEUE_FULL
   */
  add(requestId: string): Lease {
    const { kvIdentity, limits } = this.engine;
    this.forgetOver();
    const made = this.engine.offer(requestId);
    const known = this.leases.get(made.lease.id);
    const lease = known ?? new Lease(requestId, made, kvIdentity, limits.blockSize);
    this.leases.set(made.lease.id, lease);
    return lease;
  }

  /** As {@link add}, of a request that may be about to be queued. @throws EngineError NOT_MOVABLE, QUEUE_FULL */
  async addQueued(requestId: string): Promise<Lease> {
    await this.engine.queued(requestId);
    return this.add(requestId);
  }

  /** What whoever is to go on with it is told. @throws EngineError LEASE_OVER */
  paramsOf(lease: Lease): OfferedParams {
    return lease.params(this.place());
  }

  /** @throws ApiError INVALID_API_KEY: there is none, or the token is another's */
  find(id: string, token: string | null): Lease {
    const lease = this.leases.get(id);
    if (lease !== undefined && token !== null && lease.isToken(token)) return lease;
    const text = `there is no lease ${shown(id)} with that token; send Authorization: Bearer TOKEN with the lease's own`;
    throw new ApiError('INVALID_API_KEY', text);
  }

  private forgetOver(): void {
    const over = [...this.leases].filter(([, { offer }]) => offer.end !== null);
    for (const [id] of over.slice(0, Math.max(0, over.length - MAX_OVER))) this.leases.delete(id);
  }
}
