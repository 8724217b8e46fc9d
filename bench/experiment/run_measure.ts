/** What is done for each `measure` of an experiment; each is loaded when it runs. */
import { ExperimentError } from '../../lib/experiment/base/errors.js';
import type { PlannedRun } from '../../lib/experiment/base/run.js';
import type { Measure, MeasureContext, MeasureResult } from './base/measure.js';

const MEASURES: Readonly<Record<string, () => Promise<Measure>>> = {
  generate: async () => (await import('./generate.js')).measureGenerate,
  score: async () => (await import('./score.js')).measureScore,
  serve: async () => (await import('./serving/measure_serve.js')).measureServe,
  simulation: async () => (await import('./simulation.js')).measureSimulation,
  scorecard: async () => (await import('./scorecard.js')).measureScorecard,
};

/** Measures a run, of which it is the only one in its process. @throws ExperimentError MEASURE_FAILED; whatever the measure's parts throw */
export async function runMeasure(run: PlannedRun, context: MeasureContext): Promise<MeasureResult> {
  const { kind } = run.measure;
  const load = MEASURES[kind];
  if (load === undefined) {
    const text = `there is no measure '${kind}'; there are: ${Object.keys(MEASURES).join(', ')}`;
    throw new ExperimentError('MEASURE_FAILED', text);
  }
  const measure = await load();
  return measure(run, context);
}
