/** Has another instance take over a sequence from one that tells it, by a lease. At most one at a time. */
import { ClusterError } from '../../base/errors.js';
import { ApiError } from '../../../server/base/api_error.js';
import type { OfferedParams } from '../../../server/cluster/transfer_params.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import type { Dispatch } from './dispatch.js';
import type { Leg } from './leg.js';
import type { Legs } from './legs.js';
import type { MoveWhy } from './request_story.js';
import type { StoryTeller } from './story_teller.js';
import type { Told } from './told.js';

/** What it takes. */
export interface TakeOverParts {
  readonly legs: Legs;
  readonly dispatch: Dispatch;
  readonly story: StoryTeller;
  readonly told: Told;
}

/** What is under way. */
interface Pending {
  readonly source: Leg;
  readonly target: Leg;
  readonly why: MoveWhy;
  readonly startMs: number;
  readonly settle: (hasTakenOver: boolean) => void;
}

/** A source is told that it goes on within this time, or its lease runs out. */
const ROLLBACK_TIMEOUT_MS = 2000;

/** Of one request. */
export class TakeOver {
  private pending: Pending | null = null;

  constructor(private readonly parts: TakeOverParts) {}

  /** Another leg is to take over. */
  get isPending(): boolean {
    return this.pending !== null;
  }

  /**
   * A leg at `to` is to take over from `source`, which is followed until then. Resolves with whether it did. Null: there is no such instance, and nothing
   * happened.
   */
  begin(source: Leg, lease: OfferedParams, to: string, why: MoveWhy): Promise<boolean> | null {
    const { legs, story, told } = this.parts;
    const { tokenIds, begun } = told;
    const resume = { token_ids: tokenIds, seed: begun?.seed ?? lease.seed, created: begun?.created ?? null };
    const target = orNull(() => legs.goOnAt(to, { kv_transfer_params: lease, resume }, tokenIds.length));
    if (target === null) return null;
    return new Promise((settle) => {
      const pending = { source, target, why, startMs: story.now(), settle };
      this.pending = pending;
      followed(target).catch(() => {
        if (this.pending !== pending) return; // it took over, or wasn't wanted any more
        this.drop();
        void rollBack(source, lease);
      });
    });
  }

  /** The same behind a prompt: at `to`, or where there is room; nowhere: the source is told so. */
  beginBehindPrompt(source: Leg, lease: OfferedParams, to: string | null): void {
    const { dispatch } = this.parts;
    if (to !== null && this.begin(source, lease, to, 'apart') !== null) return;
    dispatch.avoid(source.id);
    const route = orNull(() => dispatch.route('decode'));
    const other = route?.kind === 'whole' ? this.begin(source, lease, route.instance, 'apart') : null;
    if (other === null) void rollBack(source, lease);
  }

  /** The source is over: the target goes on. Null: there is none. */
  take(): Leg | null {
    return this.end(true)?.target ?? null;
  }

  /** Nothing comes of it. Idempotent. */
  drop(): void {
    const pending = this.end(false);
    if (pending !== null) this.parts.legs.over(pending.target, 'left');
  }

  private end(isDone: boolean): Pending | null {
    const { pending } = this;
    if (pending === null) return null;
    this.pending = null;
    this.parts.story.moved(pending, isDone);
    pending.settle(isDone);
    return pending;
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

/** Null: nobody is there. */
export function orNull<T>(act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    if (error instanceof ApiError || error instanceof ClusterError) return null;
    throw error;
  }
}
