import type { EngineStats } from '../../head/engine.js';
import type { Level, SeriesMaker, Total } from './series.js';

/** What an expert was when it was wanted. */
const USES = ['hits', 'ahead', 'warm', 'waits'] as const;

/** Experts that are on disk or in memory (`experts.max_resident_bytes`); ranks that have all in memory have no series. */
export class TierMetrics {
  private readonly resident: Level<'rank'>;
  private readonly warm: Level<'rank'>;
  private readonly uses: Total<'rank' | 'found'>;
  private readonly readBytes: Total<'rank'>;
  private readonly waits: Total<'rank'>;

  constructor(make: SeriesMaker) {
    this.resident = make.level(
      'expertwire:expert_tier_resident_bytes',
      'Bytes that the experts of a rank take of memory, where others are on disk.',
      'rank',
    );
    this.warm = make.level(
      'expertwire:expert_tier_warm_bytes',
      'Bytes that copies of experts in fewer bits take of memory (experts.warm).',
      'rank',
    );
    this.uses = make.total(
      'expertwire:expert_tier_uses_total',
      'Wanted experts: hits (in memory), ahead (read before), warm (computed with a copy), waits (read then).',
      ...(['rank', 'found'] as const),
    );
    this.readBytes = make.total(
      'expertwire:expert_tier_read_bytes_total',
      'Bytes of experts that a rank read from disk.',
      'rank',
    );
    this.waits = make.total(
      'expertwire:expert_tier_wait_seconds_total',
      'Seconds that calls of a rank waited for experts from disk.',
      'rank',
    );
  }

  /** Takes over what ranks counted. */
  update(ranks: EngineStats['ranks']): void {
    const tiered = ranks.flatMap(({ tiers }, rank) => (tiers === undefined ? [] : [{ rank, tiers }]));
    this.resident.setAll(tiered.map(({ rank, tiers }) => [{ rank }, tiers.residentBytes]));
    this.warm.setAll(tiered.flatMap(({ rank, tiers: { warm } }) => (warm ? [[{ rank }, warm.residentBytes]] : [])));
    this.uses.setAll(
      tiered.flatMap(({ rank, tiers }) =>
        USES.map((found) => [{ rank, found }, tiers.layers[found].reduce((a, b) => a + b, 0)] as const),
      ),
    );
    this.readBytes.setAll(tiered.map(({ rank, tiers }) => [{ rank }, tiers.readBytes]));
    this.waits.setAll(tiered.map(({ rank, tiers }) => [{ rank }, tiers.waitMs / 1000]));
  }
}
