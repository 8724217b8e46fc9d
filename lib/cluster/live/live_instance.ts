/** An instance as the live page has it. Pure. */
import type { InstanceView } from '../base/instance_view.js';
import type { LiveInstance, LiveInstanceState } from './messages.js';
import type { SecondLevels } from './cluster_seconds.js';

/** What a router knows of one that tells nothing of its load is what it sent there. */
export function liveInstance({ record, isHealthy, numRequests, numPrefillTokens, load }: InstanceView): LiveInstance {
  return {
    ...{ id: record.id, role: record.role, model: record.model, isForeign: record.kind === 'foreign' },
    state: stateOf(record.isDraining, isHealthy),
    numRanks: record.numRanks,
    numRunning: load?.numRunning ?? numRequests,
    numWaiting: load?.numWaiting ?? 0,
    numPrefillTokens,
    numUsedBlocks: load?.numUsedBlocks ?? 0,
    numCachedBlocks: load?.numCachedBlocks ?? 0,
    numKvBlocks: load?.numKvBlocks ?? 0,
    tbtMs: load?.tbtMs ?? null,
  };
}

/** All instances together. */
export function levelsOf(views: readonly InstanceView[]): SecondLevels {
  const all = views.map(liveInstance);
  const sum = (of: (each: LiveInstance) => number): number => all.reduce((total, each) => total + of(each), 0);
  const uses = all.flatMap((each) => (each.numKvBlocks === 0 ? [] : [each.numUsedBlocks / each.numKvBlocks]));
  const rounded = (use: number): number | null => (uses.length === 0 ? null : Math.round(1000 * use) / 1000);
  return {
    numRunning: sum(({ numRunning }) => numRunning),
    numWaiting: sum(({ numWaiting }) => numWaiting),
    kvMost: rounded(Math.max(...uses)),
    kvLeast: rounded(Math.min(...uses)),
  };
}

function stateOf(isDraining: boolean, isHealthy: boolean): LiveInstanceState {
  if (isDraining) return 'draining';
  return isHealthy ? 'up' : 'failing';
}
