/**
 * What a measure takes and gives. Declared here, where a file is checked before anything runs; `bench/experiment` has what they do.
 * Why: docs/decisions/experiments.md#the-whole-file-is-checked-before-the-first-run
 */
import type * as z from 'zod';
import type { OpenedModel } from '../../head/opened_model.js';
import type { MetricInfo } from './metric.js';
import type { PlannedRun } from './run.js';

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
  /** Whether an engine of the configuration runs: then its model is opened, and what an engine refuses is found. Otherwise the file needs no `base.model`. */
  readonly hasEngine: boolean;
  /** Keys of the workload that name a file each, as 'load.file': looked for as a configuration's files are, and absolute in a plan. */
  readonly files: readonly string[];
  /**
   * Keys of the settings whose value, where there is one, is a mapping of keys of the configuration: laid over the run's own and checked as it. A plan has the whole
   * configuration in its place.
   */
  readonly configs?: readonly string[];
  /**
   * What neither schema can say of a run: prompts that are too long for the model, for instance. `model`: null without an engine.
   * @throws ConfigError with the key, 'workload.prompts' or 'measure.top', whose line is told then; whatever else says what is wrong
   */
  readonly check?: (run: PlannedRun, model: OpenedModel | null) => Promise<void> | void;
}
