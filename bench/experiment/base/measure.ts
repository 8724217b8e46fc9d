/** What a measure does in the process of a run. */
import type { PlannedRun, RunResult } from '../../../lib/experiment/base/run.js';

/** What it sees of the world. */
export interface MeasureContext {
  /** For files that are gone afterwards. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A line for the run's log. */
  readonly onNotice: (line: string) => void;
  /** Aborted when the run is to end. */
  readonly signal: AbortSignal;
}

/** What it found; the process adds what it ran with and how long it took. */
export type MeasureResult = Omit<RunResult, 'measureMs' | 'environment'>;

/** Measures a run, of which it is the only one in its process. @throws ExperimentError MEASURE_FAILED; whatever its parts throw */
export type Measure = (run: PlannedRun, context: MeasureContext) => Promise<MeasureResult>;
