/** What a load did to a job, from what was seen before and after it. Pure. */
import type { Metrics } from '../../../lib/experiment/base/metric.js';
import type { Inflicted } from '../../chaos/inflict.js';
import type { JobWatch } from '../../chaos/watch.js';
import type { Details } from '../base/details.js';
import { difference, total, type Snapshot } from '../base/snapshot.js';
import type { WatchedSteps } from '../base/watched_steps.js';
import { killFigures, meanOfAll } from './fault_figures.js';
import type { ServerReport } from './orders.js';

/** Of a job so far. */
export interface JobCounts {
  readonly numLost: number;
  readonly numJoined: number;
  readonly numRecomputed: number;
}

/** What was seen. */
export interface SeenLoad extends Pick<JobWatch, 'losses' | 'samples'> {
  readonly before: Snapshot;
  readonly after: Snapshot;
  readonly counts: { readonly before: JobCounts; readonly after: JobCounts };
  readonly kills: readonly Pick<Inflicted, 'victims' | 'start'>[];
  readonly steps: Pick<WatchedSteps, 'points' | 'rebalances' | 'rankLoad_LR'>;
  /** At the start. */
  readonly numRanks: number;
}

/** Metrics, matrices and series. */
export function serverReport(seen: SeenLoad): ServerReport {
  const metrics = { ...faultMetrics(seen), ...costMetrics(seen) };
  return { metrics, details: detailsOf(seen), backend: seen.after.stats.backend };
}

function faultMetrics({ before, after, counts, kills, losses, samples }: SeenLoad): Metrics {
  const figures = killFigures(kills, { losses, samples });
  const since = (name: keyof JobCounts): number => counts.after[name] - counts.before[name];
  return {
    kills: kills.length,
    lost_ranks: since('numLost'),
    joined_ranks: since('numJoined'),
    noticed_ms: meanOfAll(figures.map(({ noticedMs }) => noticedMs)),
    recovery_ms: meanOfAll(figures.map(({ recoveredMs }) => recoveredMs)),
    recomputed_tokens: since('numRecomputed'),
    skipped_choices: after.stats.numSkippedChoices - before.stats.numSkippedChoices,
    degraded_tokens: after.stats.numDegradedTokens - before.stats.numDegradedTokens,
  };
}

function costMetrics(seen: SeenLoad): Metrics {
  const { before, after, numRanks } = seen;
  const { ranks } = after.stats;
  const sum = ({ stats }: Snapshot): number => stats.numPromptTokens + stats.numOutputTokens;
  const numTokens = sum(after) - sum(before);
  const coreMs = after.coreMs === null || before.coreMs === null ? null : after.coreMs - before.coreMs;
  const numBytes = wireBytes(seen);
  const perToken = (value: number | null): number | null =>
    value === null || numTokens === 0 ? null : value / numTokens;
  const bytesPerToken = perToken(numBytes);
  const numPairs = numRanks * (numRanks - 1);
  return {
    core_s: coreMs === null ? null : coreMs / 1000,
    core_ms_per_token: perToken(coreMs),
    bytes_per_token: bytesPerToken,
    bytes_per_token_and_pair: bytesPerToken === null || numPairs === 0 ? null : bytesPerToken / numPairs,
    peak_rss_bytes: Math.max(...ranks.map(({ peakRssBytes }) => peakRssBytes)),
    resident_bytes: ranks.reduce((all, { kernelBytes, tensorBytes }) => all + kernelBytes + tensorBytes, 0),
  };
}

/** Null where a rank joined: its counts began anew. */
function wireBytes({ before, after, counts }: SeenLoad): number | null {
  if (counts.after.numJoined > counts.before.numJoined) return null;
  const since = (name: 'dispatchBytes' | 'combineBytes'): number =>
    total(difference(after.stats[name], before.stats[name]));
  return since('dispatchBytes') + since('combineBytes');
}

function detailsOf({ before, after, steps }: SeenLoad): Details {
  const since = (name: 'expertLoad' | 'dispatchBytes' | 'combineBytes' | 'waitMs'): number[][] =>
    difference(after.stats[name], before.stats[name]);
  return {
    expert_load: since('expertLoad'),
    rank_load: steps.rankLoad_LR.map((load_R) => [...load_R.slice(0, after.stats.numRanks)]),
    dispatch_bytes: since('dispatchBytes'),
    combine_bytes: since('combineBytes'),
    wait_ms: since('waitMs'),
    balance_over_time: steps.points.map(({ step, numSteps, meanLoad, maxLoad }) => ({
      ...{ step, num_steps: numSteps, mean_load: meanLoad, max_load: maxLoad },
    })),
    rebalances: steps.rebalances,
  };
}
