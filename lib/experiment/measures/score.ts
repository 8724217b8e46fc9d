/** `measure: score`: what it takes and gives. */
import * as z from 'zod';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import { count } from './metric_kinds.js';

const METRICS: Readonly<Record<string, MetricInfo>> = {
  perplexity: count('', 'lower', 'exp(−Σ ln p(token) ÷ tokens)'),
};

/** Log-probabilities of texts, and how far they are from those of a reference. */
export const scoreMeasure: MeasureInfo = {
  describe: 'Log-probabilities of texts, and how far they are from those of a reference',
  settings: z.strictObject({}),
  workload: z.strictObject({}),
  metricsOf: () => METRICS,
  hasEngine: true,
  files: [],
};
