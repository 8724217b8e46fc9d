/** What the page knows, of an instance or of a router before several. Pure. */
import { CLUSTER_LIMITS, type ClusterDelta, type ClusterSnapshot } from '../../cluster/live/messages.js';
import { LIVE_LIMITS, type LiveDelta } from '../../server/live/messages.js';
import type { LiveMessage } from './live_client.js';
import { joined, nextState, type LiveState } from './live_state.js';

/** Whose server it is. */
export type PageState =
  | { readonly kind: 'instance'; readonly instance: LiveState }
  | { readonly kind: 'cluster'; readonly cluster: ClusterSnapshot };

/** What is known after a message; a delta without a snapshot before it tells nothing. */
export function nextPageState(known: PageState | null, message: LiveMessage): PageState | null {
  if (message.kind === 'snapshot') {
    const { snapshot } = message;
    if ('router' in snapshot) return { kind: 'cluster', cluster: snapshot };
    return instanceState(nextState(null, { kind: 'snapshot', snapshot }));
  }
  if (known === null) return null;
  // A server's deltas are of the kind of its snapshot.
  if (known.kind === 'cluster')
    return { kind: 'cluster', cluster: nextCluster(known.cluster, message.delta as ClusterDelta) };
  return instanceState(nextState(known.instance, { kind: 'delta', delta: message.delta as LiveDelta }));
}

const instanceState = (instance: LiveState | null): PageState | null =>
  instance === null ? null : { kind: 'instance', instance };

function nextCluster(known: ClusterSnapshot, { now, seconds, events }: ClusterDelta): ClusterSnapshot {
  return {
    ...known,
    now,
    seconds: joined(known.seconds, seconds, ({ atS }) => atS, LIVE_LIMITS.numSeconds),
    events: joined(known.events, events, ({ number }) => number, CLUSTER_LIMITS.numEvents),
  };
}
