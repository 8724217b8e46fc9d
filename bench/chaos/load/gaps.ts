/** How long streams stood still. Pure. */

/** From one moment to another, of `performance.now()`. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Between the tokens of one stream. */
export const gapsOf = (timesMs: readonly number[]): Span[] =>
  timesMs.slice(1).map((toMs, i) => ({ fromMs: timesMs[i]!, toMs }));

/** The longest of those that reach into a span, in milliseconds; null: none does. */
export function longestGap(gaps: readonly Span[], { fromMs, toMs }: Span): number | null {
  const lengths = gaps.flatMap((gap) => (gap.toMs >= fromMs && gap.fromMs <= toMs ? [gap.toMs - gap.fromMs] : []));
  return lengths.length === 0 ? null : lengths.reduce((most, ms) => Math.max(most, ms));
}
