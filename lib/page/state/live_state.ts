/** What the page knows of an instance: a snapshot, and the deltas since then. Pure. Why: docs/decisions/page.md#state-without-a-browser */
import { LIVE_LIMITS, type LiveDelta, type LiveSnapshot } from '../../server/live/messages.js';
import { ExpertMap } from './expert_map.js';
import type { FeedMessage } from './live_client.js';

/** A snapshot that is kept up to date. */
export interface LiveState extends LiveSnapshot {
  /** Load and placement, decoded. */
  readonly experts: ExpertMap;
}

/** What is known after a message; a delta without a snapshot before it tells nothing. */
export function nextState(state: LiveState | null, message: FeedMessage<LiveSnapshot, LiveDelta>): LiveState | null {
  if (message.kind === 'snapshot') return { ...message.snapshot, experts: ExpertMap.of(message.snapshot) };
  if (state === null) return null;
  const { delta } = message;
  const { numSeconds, numSteps, numEvents } = LIVE_LIMITS;
  // A delta that was on its way when the snapshot was made tells some of it again.
  const next: LiveSnapshot = {
    ...state,
    ...delta,
    seconds: joined(state.seconds, delta.seconds, ({ atS }) => atS, numSeconds),
    steps: joined(state.steps, delta.steps, ({ step }) => step, numSteps),
    events: joined(state.events, delta.events, ({ number }) => number, numEvents),
  };
  return { ...next, experts: state.experts.updated(delta) };
}

/** The last `capacity` of both; the same array where nothing is new. */
export function joined<Item>(
  known: readonly Item[],
  news: readonly Item[],
  orderOf: (item: Item) => number,
  capacity: number,
): readonly Item[] {
  const last = known.length === 0 ? -Infinity : orderOf(known.at(-1)!);
  const fresh = news.filter((item) => orderOf(item) > last);
  return fresh.length === 0 ? known : [...known, ...fresh].slice(-capacity);
}
