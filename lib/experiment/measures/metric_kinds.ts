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
