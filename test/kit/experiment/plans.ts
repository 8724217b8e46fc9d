/** Experiments whose runs are told apart by a value. */
import type { ExperimentPlan } from '../../../lib/experiment/base/experiment.js';
import type { PlannedRun } from '../../../lib/experiment/base/run.js';
import { METRICS, plannedRun } from './runs.js';

/** The run of a value. */
export const runOf = (value: number, over: Partial<PlannedRun> = {}): PlannedRun =>
  plannedRun({ point: { value }, workload: { play: 'result', value }, ...over });

/** A run for each value, in their order. */
export const planOf = (values: readonly number[], name = 'played'): ExperimentPlan => ({
  experiment: {
    name,
    description: '',
    text: `name: ${name}\n`,
    axes: [{ key: 'value', values }],
    metrics: METRICS,
    baseline: null,
    plots: [],
    timeoutMs: 40_000,
    parallel: 1,
  },
  runs: values.map((value, index) => runOf(value, { index })),
  runner: { kind: 'local' },
});
