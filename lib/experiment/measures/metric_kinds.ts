/** Short ways to declare metrics. Why: docs/decisions/experiments.md#counts-and-times-are-told-apart */
import type { MetricInfo } from '../base/metric.js';

/** What follows from configuration, workload and seed. `what`: one line, with its formula. */
export const count = (unit: string, better: MetricInfo['better'], what: string): MetricInfo => ({
  unit,
  better,
  kind: 'count',
  what,
});

/** What the machine and the moment have a part in: seconds, rates, memory. */
export const time = (unit: string, better: MetricInfo['better'], what: string): MetricInfo => ({
  unit,
  better,
  kind: 'time',
  what,
});

/** A text that names what was computed: a hash of all tokens. */
export const text = (what: string): MetricInfo => ({ unit: '', better: null, kind: 'text', what });

/** Mean, median and 99th percentile of a latency in milliseconds. `what`: 'the time from a request to its first token'. */
export const latency = (name: string, what: string): Record<string, MetricInfo> => ({
  [`${name}_mean_ms`]: time('ms', 'lower', `mean of ${what}`),
  [`${name}_p50_ms`]: time('ms', 'lower', `median of ${what}`),
  [`${name}_p99_ms`]: time('ms', 'lower', `99th percentile of ${what}, in proportion between the two nearest`),
});
