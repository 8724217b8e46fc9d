/** The tokens of one dispatch that lost an expert, because the rank that holds it is masked. */
import type { Rank } from '../../../base/ids.js';
import type { LayoutShape } from './layout.js';
import type { RankMask } from '../exchange/rank_mask.js';

const NONE = new Int32Array(0);

/** A set of this rank's own tokens, which grows until their combine has ended. */
export class DegradedTokens {
  private readonly marked = new Set<number>();

  get numTokens(): number {
    return this.marked.size;
  }

  /** Source rows, ascending. */
  rows(): Int32Array {
    if (this.marked.size === 0) return NONE;
    return Int32Array.from(this.marked).sort();
  }

  /** Marks source rows; a row counts once. */
  add(rows: Iterable<number>): void {
    for (const row of rows) this.marked.add(row);
  }
}

/** A copy of `topkIdx` [T·K] without choices on masked ranks, whose tokens are marked: the caller may change its own. */
export function withoutMasked(
  topkIdx: Int32Array,
  { numTopk, slotsPerRank }: Omit<LayoutShape, 'size'>,
  mask: RankMask,
  degraded: DegradedTokens,
): Int32Array {
  const kept = topkIdx.slice();
  if (mask.isEmpty) return kept;
  for (let i = 0; i < kept.length; i++) {
    if (kept[i]! < 0 || !mask.has(Math.floor(kept[i]! / slotsPerRank) as Rank)) continue;
    kept[i] = -1;
    degraded.add([Math.floor(i / numTopk)]);
  }
  return kept;
}
