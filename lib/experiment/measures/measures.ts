/** The measures that an experiment's file may name. What they do stands in `bench/experiment`. */
import type { MeasureInfo } from '../base/measure_info.js';
import { benchMeasure } from './bench.js';
import { generateMeasure } from './generate.js';
import { scoreMeasure } from './score.js';
import { scorecardMeasure } from './scorecard.js';
import { serveMeasure } from './serve.js';
import { simulationMeasure } from './simulation.js';

/** In the order in which documents tell of them. */
export const MEASURE_NAMES = ['generate', 'score', 'serve', 'scorecard', 'bench', 'simulation'] as const;

/** One of {@link MEASURE_NAMES}. */
export type MeasureName = (typeof MEASURE_NAMES)[number];

/** What each takes and gives. */
export const MEASURES: Readonly<Record<MeasureName, MeasureInfo>> = {
  generate: generateMeasure,
  score: scoreMeasure,
  serve: serveMeasure,
  scorecard: scorecardMeasure,
  bench: benchMeasure,
  simulation: simulationMeasure,
};

/** Whether there is one of that name. */
export const isMeasure = (name: string): name is MeasureName => Object.hasOwn(MEASURES, name);
