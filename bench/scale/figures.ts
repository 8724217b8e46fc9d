/** What each change of the number of ranks cost, and whether anybody noticed. Pure. */
import type { Scaled } from '../../lib/head/elastic/scale_events.js';
import { median } from '../base/machine.js';
import { isBitEqual, isSame, type Answer } from '../chaos/load/answer.js';
import { gapsOf, longestGap, type Span } from '../chaos/load/gaps.js';
import type { Answered } from '../chaos/load/load.js';
import type { StepTime } from './step_times.js';

/** A change, and when. */
export interface Change extends Span {
  readonly scaled: Scaled;
  /** Since the change before: nothing changed. */
  readonly quietFromMs: number;
}

/** Of one change. */
export interface ChangeRow {
  readonly from: number;
  readonly to: number;
  /** From the order until the first step of the new size was over; null: none was in time. */
  readonly first_step_ms: number | null;
  /** Until every expert was in its place, and who went was gone. */
  readonly done_ms: number;
  /** Of the steps meanwhile, and of those before, while nothing changed; null: there were none. */
  readonly longest_step_ms: number | null;
  readonly quiet_median_ms: number | null;
  readonly quiet_longest_ms: number | null;
  /** The most that moving experts and sequences held up one step; null: no step ran. */
  readonly moving_stall_ms: number | null;
  /** The longest time between two tokens of one stream. */
  readonly stall_ms: number | null;
  readonly moved_experts: number;
  readonly moved_sequences: number;
  readonly recomputed: number;
}

/** Of all requests. */
export interface ScaleTotals {
  readonly requests: number;
  /** The same tokens as with ranks that stay, and each as likely, to the bit. */
  readonly identical: number;
  readonly bit_equal: number;
  readonly failed: number;
  readonly errors: readonly string[];
}

/** A row per change. */
export function changeRows(
  changes: readonly Change[],
  steps: readonly StepTime[],
  answers: readonly Answered[],
): ChangeRow[] {
  const gaps = answers.flatMap(({ answer }) => gapsOf(answer.timesMs));
  return changes.map((change) => {
    const { scaled, fromMs, toMs, quietFromMs } = change;
    const within = (span: Span): readonly StepTime[] =>
      steps.filter(({ atMs }) => atMs >= span.fromMs && atMs <= span.toMs);
    const timesIn = (span: Span): number[] => within(span).map(({ stepMs }) => stepMs);
    const quiet = timesIn({ fromMs: quietFromMs, toMs: fromMs });
    const first = steps.find(({ atMs, numRanks }) => atMs > fromMs && numRanks === scaled.after);
    return {
      ...{ from: scaled.before, to: scaled.after, first_step_ms: first === undefined ? null : first.atMs - fromMs },
      ...{ done_ms: toMs - fromMs, longest_step_ms: most(timesIn(change)) },
      ...{ quiet_median_ms: quiet.length === 0 ? null : median(quiet), quiet_longest_ms: most(quiet) },
      moving_stall_ms: most(within(change).map(({ stallMs }) => stallMs)),
      stall_ms: longestGap(gaps, change),
      moved_experts: scaled.numMovedExperts,
      moved_sequences: scaled.numMovedSequences,
      recomputed: scaled.numRecomputed,
    };
  });
}

/** All answers against those of ranks that stay. */
export function totalsOf(answers: readonly Answered[], expected: readonly Answer[]): ScaleTotals {
  const all = answers.map(({ request, answer }) => ({ answer, wanted: expected[request]! }));
  return {
    requests: all.length,
    identical: all.filter(({ answer, wanted }) => isSame(answer, wanted)).length,
    bit_equal: all.filter(({ answer, wanted }) => isBitEqual(answer, wanted)).length,
    failed: all.filter(({ answer }) => answer.error !== null).length,
    errors: [...new Set(all.flatMap(({ answer }) => answer.error ?? []))],
  };
}

const most = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((a, b) => Math.max(a, b));
