/** A leg that is to take over from one that still tells, by a lease on its sequence. */
import type { OfferedParams } from '../../../server/cluster/transfer_params.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import type { Leg } from './leg.js';
import type { MoveWhy } from './request_story.js';

/** A source is told that it goes on within this time, or its lease runs out. */
const ROLLBACK_TIMEOUT_MS = 2000;

/** What is to move, and why. */
export interface AheadPlan {
  readonly source: Leg;
  readonly target: Leg;
  readonly why: MoveWhy;
  readonly startMs: number;
}

/** From the offer to the switch, or to the end of one of the two. */
export class Ahead {
  /** Whether the target took over. */
  readonly settled: Promise<boolean>;
  private settle: (hasTakenOver: boolean) => void = () => undefined;

  /** @param failed the target can't take over any more */
  constructor(
    readonly plan: AheadPlan,
    failed: (error: unknown) => void,
  ) {
    this.settled = new Promise((resolve) => (this.settle = resolve));
    followed(plan.target).catch(failed);
  }

  /** The source is over: the target goes on. */
  take(): Leg {
    this.settle(true);
    return this.plan.target;
  }

  /** Nothing comes of it. */
  giveUp(): void {
    this.settle(false);
    this.plan.target.leave();
  }
}

/** Tells a source that nobody takes its sequence over. Where it doesn't hear it, the lease runs out. */
export async function rollBack({ upstream }: Leg, { lease_id: id, lease_token: token }: OfferedParams): Promise<void> {
  const path = `/v1/kv/leases/${id}/rollback`;
  const request = { method: 'POST', path, headers: { authorization: `Bearer ${token}` }, body: null };
  await upstream.askShort(request, ROLLBACK_TIMEOUT_MS).catch(() => undefined);
}

/** Rejects when the target has failed. */
async function followed(target: Leg): Promise<void> {
  const answer = await target.answer;
  if (answer.status >= 300) throw new UpstreamError('REFUSED', `instance ${target.id} answered ${answer.status}`);
  const error = await answer.ended;
  if (error !== null) throw error;
}
