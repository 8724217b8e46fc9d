/** Ranks, losses and experts that move. */
import type { EngineStats } from '../../head/engine.js';
import { isThere } from '../../head/observing/rank_states.js';
import type { RebalanceStats } from '../../head/rebalancing/rebalance_stats.js';
import type { Level, SeriesMaker, Total } from './series.js';

/** What is only there where experts may move. */
interface RebalanceSeries {
  readonly done: Total;
  readonly skipped: Total;
  readonly failed: Total;
  readonly movedExperts: Total;
  readonly movedBytes: Total;
  readonly longestStall: Level;
  readonly balancedness: Level<'placement'>;
}

/** Membership, memory and rebalances of a job. */
export class JobMetrics {
  private readonly ranks: Level;
  private readonly lostRanks: Level;
  private readonly epoch: Level;
  private readonly seats: Level;
  private readonly scaled: Total;
  private readonly notScaled: Total;
  private readonly placementVersion: Level;
  private readonly peakRss: Level<'rank'>;
  private readonly weightBytes: Level<'rank'>;
  private readonly pace: Level<'rank'>;
  private readonly rebalances: RebalanceSeries;

  constructor(make: SeriesMaker) {
    this.ranks = make.level('expertwire:ranks', 'Ranks that are there.');
    this.lostRanks = make.level('expertwire:lost_ranks', 'Ranks that were lost, and whose seats nobody has taken.');
    this.epoch = make.level('expertwire:epoch', 'Membership epoch: it grows when ranks come, go or are lost.');
    this.seats = make.level('expertwire:seats', 'Ranks that the job can have at a time.');
    this.scaled = make.total('expertwire:scaled_total', 'How often ranks came or went because somebody wanted it.');
    this.notScaled = make.total('expertwire:scale_failures_total', 'How often they should have, and did not.');
    this.placementVersion = make.level('expertwire:placement_version', 'Version of the placement in force.');
    this.peakRss = make.level('expertwire:rank_peak_rss_bytes', 'The most memory that a rank held, in bytes.', 'rank');
    this.weightBytes = make.level(
      'expertwire:rank_compute_bytes',
      'Bytes of weights and KV cache in the memories that a rank computes in.',
      'rank',
    );
    this.pace = make.level(
      'expertwire:rank_pace',
      "Time that a rank takes for its work, apart from waiting / the median rank's for the same work.",
      'rank',
    );
    this.rebalances = rebalanceSeries(make);
  }

  /** Takes over what the engine counted. */
  update(stats: EngineStats, placementVersion: number): void {
    const { rankStates, epoch, ranks, rebalancing, scaling, speeds } = stats;
    this.ranks.set(rankStates.filter(isThere).length);
    this.lostRanks.set(rankStates.filter((state) => state === 'lost').length);
    this.epoch.set(epoch);
    this.seats.set(scaling?.maxRanks ?? rankStates.length);
    this.scaled.set(scaling?.numScaled ?? 0);
    this.notScaled.set(scaling?.numFailed ?? 0);
    this.placementVersion.set(placementVersion);
    this.peakRss.setAll(ranks.map(({ peakRssBytes }, rank) => [{ rank }, peakRssBytes]));
    this.weightBytes.setAll(ranks.map(({ kernelBytes, tensorBytes }, rank) => [{ rank }, kernelBytes + tensorBytes]));
    const known = speeds.flatMap(({ pace }, rank) => (pace === null ? [] : [[{ rank }, pace] as const]));
    this.pace.setAll(known);
    if (rebalancing !== null) updateRebalances(this.rebalances, rebalancing);
  }
}

const rebalanceSeries = (make: SeriesMaker): RebalanceSeries => ({
  done: make.total('expertwire:rebalances_total', 'Plans whose experts all moved.'),
  skipped: make.total('expertwire:rebalances_skipped_total', 'Plans that gained too little.'),
  failed: make.total('expertwire:rebalance_failures_total', 'Plans that could not be made or carried out.'),
  movedExperts: make.total('expertwire:moved_experts_total', 'Experts that ranks got, per MoE layer and rank.'),
  movedBytes: make.total('expertwire:moved_expert_bytes_total', 'Bytes of experts that came from other ranks.'),
  longestStall: make.level(
    'expertwire:rebalance_longest_stall_seconds',
    'The most that moving experts held up one step, in seconds.',
  ),
  balancedness: make.level(
    'expertwire:rebalanced_balancedness',
    'Balancedness since the last rebalance: of the placement before it and of the one in force.',
    'placement',
  ),
});

function updateRebalances(series: RebalanceSeries, stats: RebalanceStats): void {
  series.done.set(stats.numRebalances);
  series.skipped.set(stats.numSkipped);
  series.failed.set(stats.numFailed);
  series.movedExperts.set(stats.numMovedExperts);
  series.movedBytes.set(stats.movedBytes);
  series.longestStall.set(stats.longestStallMs / 1000);
  const { balancedness } = stats;
  if (balancedness === null) return;
  series.balancedness.setAll([
    [{ placement: 'before' }, balancedness.before],
    [{ placement: 'now' }, balancedness.after],
  ]);
}
