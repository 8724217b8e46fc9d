/** Which experts work, and how evenly ranks share it. Shape suffixes: L MoE layers, E logical experts, R ranks. */
import type { EngineStats } from '../../head/engine.js';
import type { Level, SeriesMaker, Total } from './series.js';
import { TierMetrics } from './tier_metrics.js';

/**
 * Balance per layer, load per rank; the load of each expert only where somebody asked for it.
 * Why: docs/decisions/telemetry.md#experts-are-not-a-label
 */
export class ExpertMetrics {
  private readonly balancedness: Level<'layer'>;
  private readonly hottest: Level<'layer'>;
  private readonly rankTokens: Total<'rank'>;
  private readonly expertTokens: Total<'layer' | 'expert'> | null;
  private readonly tiers: TierMetrics;

  /** @param isFull with a series per layer and expert */
  constructor(make: SeriesMaker, isFull: boolean) {
    this.balancedness = make.level(
      'expertwire:balancedness',
      'Mean load of the ranks / load of the busiest, per MoE layer: 1 = perfect; since ranks came or went last.',
      'layer',
    );
    this.hottest = make.level(
      'expertwire:hottest_expert_ratio',
      'Load of the hottest expert / mean load of the experts, per MoE layer, over the last steps: 1 = even.',
      'layer',
    );
    this.rankTokens = make.total(
      'expertwire:rank_expert_tokens_total',
      'Tokens that the experts of a rank computed, summed over MoE layers; since ranks came or went last.',
      'rank',
    );
    this.expertTokens = isFull
      ? make.total(
          'expertwire:expert_tokens_total',
          'Tokens that an expert got, per MoE layer and logical expert.',
          ...(['layer', 'expert'] as const),
        )
      : null;
    this.tiers = new TierMetrics(make);
  }

  /** Takes over what the engine counted. */
  update({ balancedness, windowLoad, rankLoad, expertLoad, numRanks, ranks }: EngineStats): void {
    this.tiers.update(ranks);
    this.balancedness.setAll(balancedness.map((value, layer) => [{ layer }, value]));
    this.hottest.setAll(windowLoad.map((load_E, layer) => [{ layer }, hottestRatio(load_E)]));
    this.rankTokens.setAll(
      Array.from({ length: numRanks }, (_, rank) => [
        { rank },
        rankLoad.reduce((sum, load_R) => sum + load_R[rank]!, 0),
      ]),
    );
    this.expertTokens?.setAll(
      expertLoad.flatMap((load_E, layer) => Array.from(load_E, (value, expert) => [{ layer, expert }, value] as const)),
    );
  }
}

/** 1 without any load. */
function hottestRatio(load_E: Float64Array): number {
  let [sum, highest] = [0, 0];
  for (const load of load_E) {
    sum += load;
    highest = Math.max(highest, load);
  }
  return sum === 0 ? 1 : (highest * load_E.length) / sum;
}
