/** Many times as a few figures. Pure. */

/** In the unit of the values. */
export interface Distribution {
  readonly count: number;
  readonly mean: number;
  readonly median: number;
  /** Of the population, as numpy's. */
  readonly std: number;
  /** In the order in which they were asked for. */
  readonly percentiles: readonly (readonly [percentile: number, value: number])[];
  readonly max: number;
}

/** Between the two nearest ranks in proportion, as numpy's and so vLLM's. `sorted`: ascending, at least one. */
export function percentile(sorted: readonly number[], percent: number): number {
  const at = (percent / 100) * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  return low + (sorted[Math.ceil(at)]! - low) * (at - Math.floor(at));
}

/** Null without values: nothing is no zero. */
export function distributionOf(values: readonly number[], percents: readonly number[]): Distribution | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return {
    count: values.length,
    mean,
    median: percentile(sorted, 50),
    std: Math.sqrt(variance),
    percentiles: percents.map((percent) => [percent, percentile(sorted, percent)] as const),
    max: sorted.at(-1)!,
  };
}
