/** `measure: bench`: what it takes and gives. */
import * as z from 'zod';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import { time } from './metric_kinds.js';

const METRICS: Readonly<Record<string, MetricInfo>> = {
  duration_ms: time('ms', 'lower', 'of the benchmark'),
};

/** A benchmark of the command bench. */
export const benchMeasure: MeasureInfo = {
  describe: 'A benchmark of the command bench',
  settings: z.strictObject({}),
  workload: z.strictObject({}),
  metricsOf: () => METRICS,
  hasEngine: false,
  files: [],
};
