/** `measure: generate`: what it takes and gives. */
import * as z from 'zod';
import type { MeasureInfo } from '../base/measure_info.js';
import type { MetricInfo } from '../base/metric.js';
import { text, time } from './metric_kinds.js';

const METRICS: Readonly<Record<string, MetricInfo>> = {
  tokens_per_s: time('tokens/s', 'higher', 'generated tokens ÷ time from the first step to the last'),
  tokens_sha256: text('SHA-256 of all generated tokens'),
};

/** Prompts are continued by an engine in the process of the run. */
export const generateMeasure: MeasureInfo = {
  describe: 'Prompts are continued by an engine in the process of the run',
  settings: z.strictObject({}),
  workload: z.strictObject({}),
  metricsOf: () => METRICS,
  hasEngine: true,
  files: [],
};
