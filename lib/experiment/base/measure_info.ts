/**
 * What a measure takes and gives. Declared here, where a file is checked before anything runs; `bench/experiment` has what they do.
 * Why: docs/decisions/experiments.md#the-whole-file-is-checked-before-the-first-run
 */
import type * as z from 'zod';
import type { MetricInfo } from './metric.js';

/** A way to measure a configuration. */
export interface MeasureInfo {
  /** One line. */
  readonly describe: string;
  /** Of `measure` beside `kind`, with defaults. */
  readonly settings: z.ZodType;
  /** Of `workload`, with defaults. */
  readonly workload: z.ZodType;
  /** Those that come of these settings, in the order of tables. */
  readonly metricsOf: (settings: never) => Readonly<Record<string, MetricInfo>>;
}
