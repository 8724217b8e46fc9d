/** How long an experiment takes, from what its runs took so far. Pure. */
import type { ExperimentPlan } from '../base/experiment.js';
import type { PlannedRun, ResultRow } from '../base/run.js';
import { canonicalJson } from './run_id.js';

/** Of the runs that are left. */
export interface Estimate {
  readonly numRuns: number;
  readonly numLeft: number;
  readonly leftMs: number;
  /** Nothing is known of a run, so that its time limit was taken: it takes no longer. */
  readonly isBound: boolean;
}

/** A run that is done. Its duration says how long others take where it came to its end; one that failed may have ended at once, or at its limit. */
export type TimedRow = Pick<ResultRow, 'id' | 'point' | 'duration_ms' | 'status'>;

/** `rows`: of runs that are done, whatever became of them; others than the plan's say nothing of what is left, but of how long a point takes. */
export function estimateOf({ experiment, runs }: ExperimentPlan, rows: readonly TimedRow[]): Estimate {
  const { timeoutMs, parallel } = experiment;
  const expected = expectedMs(rows);
  const done = new Set(rows.map(({ id }) => id));
  const left = runs.filter(({ id }) => !done.has(id));
  const times = left.map((run) => Math.min(expected(run) ?? timeoutMs, timeoutMs));
  const sum = times.reduce((total, ms) => total + ms, 0);
  return {
    numRuns: runs.length,
    numLeft: left.length,
    leftMs: times.reduce((longest, ms) => Math.max(longest, ms), sum / parallel), // no shorter than its longest run
    isBound: left.some((run) => expected(run) === null),
  };
}

/** How long a run takes: as those of its point did, else as all did; null: none is known. */
export function expectedMs(rows: readonly TimedRow[]): (run: Pick<PlannedRun, 'point'>) => number | null {
  const ofPoints = new Map<string, number[]>();
  const whole = rows.filter(({ status }) => status === 'ok');
  for (const { point, duration_ms: ms } of whole) {
    const name = canonicalJson(point);
    ofPoints.set(name, [...(ofPoints.get(name) ?? []), ms]);
  }
  const all = whole.length === 0 ? null : mean(whole.map(({ duration_ms: ms }) => ms));
  return ({ point }) => {
    const own = ofPoints.get(canonicalJson(point));
    return own === undefined ? all : mean(own);
  };
}

const mean = (values: readonly number[]): number => values.reduce((sum, each) => sum + each, 0) / values.length;

const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
] as const;

/** 9_000_000 → '2 h 30 min'; under a second: '< 1 s'. */
export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 1) return '< 1 s';
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  const [name, size] = UNITS[first]!;
  const [lower, lowerSize] = UNITS[first + 1] ?? ['', 1];
  const rest = Math.floor((seconds % size) / lowerSize);
  return `${Math.floor(seconds / size)} ${name}${lower === '' || rest === 0 ? '' : ` ${rest} ${lower}`}`;
}
