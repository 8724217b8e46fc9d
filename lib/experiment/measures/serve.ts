/** `measure: serve`: what it takes and gives. */
import * as z from 'zod';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import { time } from './metric_kinds.js';

const METRICS: Readonly<Record<string, MetricInfo>> = {
  tokens_per_s: time('tokens/s', 'higher', 'generated tokens ÷ time of the load'),
};

/** A server under load. */
export const serveMeasure: MeasureInfo = {
  describe: 'A server under load',
  settings: z.strictObject({}),
  workload: z.strictObject({}),
  metricsOf: () => METRICS,
  hasEngine: true,
  files: [],
};
