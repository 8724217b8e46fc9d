/** `measure: simulation`: what it takes and gives. */
import * as z from 'zod';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import { count } from './metric_kinds.js';

const METRICS: Readonly<Record<string, MetricInfo>> = {
  balancedness: count('', 'higher', 'mean rank load ÷ highest rank load, of the next window'),
};

/** Placements that are planned on one window of load and judged on the next. */
export const simulationMeasure: MeasureInfo = {
  describe: 'Placements that are planned on one window of load and judged on the next',
  settings: z.strictObject({}),
  workload: z.strictObject({}),
  metricsOf: () => METRICS,
  hasEngine: false,
  files: [],
};
