/** `measure: scorecard`: what it takes and gives. */
import * as z from 'zod';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import { count } from './metric_kinds.js';

const METRICS: Readonly<Record<string, MetricInfo>> = {
  perplexity: count('', 'lower', 'exp(−Σ ln p(token) ÷ tokens)'),
};

/** Effect, performance and cost on one page. */
export const scorecardMeasure: MeasureInfo = {
  describe: 'Effect, performance and cost on one page',
  settings: z.strictObject({}),
  workload: z.strictObject({}),
  metricsOf: () => METRICS,
  hasEngine: true,
  files: [],
};
