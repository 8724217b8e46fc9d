/** What each fault cost, and whether anybody noticed. Pure. */
import { isBitEqual, isSame, type Answer } from './load/answer.js';
import type { Answered } from './load/load.js';
import { gapsOf, longestGap, type Span } from './load/gaps.js';
import type { FaultKind, Moment } from './plan/fault.js';
import { isWhole } from './held.js';
import type { Befallen } from './run_faults.js';
import type { Sample, SeenLoss } from './watch.js';

/** Of one fault. Where several came together, each has the figures of all of them. */
export interface FaultRow {
  readonly kind: FaultKind;
  readonly when: Moment;
  readonly victims: readonly number[];
  readonly lost: readonly number[];
  /** From the fault to the moment at which the job went on without the rank; null: none was lost. */
  readonly noticed_ms: number | null;
  /** The longest time between two tokens of one stream; null: no stream had two. */
  readonly stall_ms: number | null;
  /** From the fault until every expert had a home and as many replicas as at the beginning; null: it never had less, or never again. */
  readonly redundancy_ms: number | null;
  readonly recovered: boolean;
  readonly recomputed_tokens: number;
  readonly moved_experts: number;
  /** Requests that ran meanwhile, and those of them whose tokens are what they would have been. */
  readonly requests: number;
  readonly identical: number;
  readonly note: string | null;
}

/** Of all requests. */
export interface Totals {
  readonly requests: number;
  /** The same tokens as undisturbed; and each as likely, to the bit; and none computed without one of its experts. */
  readonly identical: number;
  readonly bit_equal: number;
  readonly whole: number;
  /** Computed without one of their experts. */
  readonly degraded: number;
  readonly failed: number;
  readonly errors: readonly string[];
  /** Between two tokens of one stream while nothing was the matter. */
  readonly quiet_stall_ms: number | null;
}

/** What was seen. */
export interface Seen {
  readonly befallen: readonly Befallen[];
  readonly answers: readonly Answered[];
  /** By request, undisturbed. */
  readonly expected: readonly Answer[];
  readonly samples: readonly Sample[];
  readonly losses: readonly SeenLoss[];
}

/** A row per fault. */
export function faultRows(seen: Seen): FaultRow[] {
  const gaps = seen.answers.flatMap(({ answer }) => gapsOf(answer.timesMs));
  return seen.befallen.map((each) => rowOf(each, seen, gaps));
}

/** All answers against those that were expected. */
export function totalsOf({ answers, expected }: Seen): Totals {
  const all = answers.map(({ request, answer }) => ({ answer, wanted: expected[request]! }));
  const quiet = expected.flatMap(({ timesMs }) => gapsOf(timesMs));
  return {
    requests: all.length,
    identical: all.filter(({ answer, wanted }) => isSame(answer, wanted)).length,
    bit_equal: all.filter(({ answer, wanted }) => isBitEqual(answer, wanted)).length,
    whole: all.filter(({ answer, wanted }) => isBitEqual(answer, wanted) && answer.numDegradedTokens === 0).length,
    degraded: all.filter(({ answer }) => answer.numDegradedTokens > 0).length,
    failed: all.filter(({ answer }) => answer.error !== null).length,
    errors: [...new Set(all.flatMap(({ answer }) => answer.error ?? []))],
    quiet_stall_ms: longestGap(quiet, { fromMs: -Infinity, toMs: Infinity }),
  };
}

function rowOf(befallen: Befallen, seen: Seen, gaps: readonly Span[]): FaultRow {
  const { fault, victims, start, end, isRecovered, note } = befallen;
  const span = { fromMs: start.atMs, toMs: end.atMs };
  const losses = seen.losses.filter(({ atMs }) => atMs >= span.fromMs && atMs <= span.toMs);
  const meanwhile = seen.answers.filter(({ answer: { timesMs } }) => timesMs.length > 0 && reaches(timesMs, span));
  return {
    ...{ kind: fault.kind, when: fault.when, victims: victims ?? [], recovered: isRecovered, note },
    lost: losses.flatMap(({ ranks }) => ranks),
    noticed_ms: losses.length === 0 ? null : losses[0]!.atMs - span.fromMs,
    stall_ms: longestGap(gaps, span),
    redundancy_ms: redundancyMs(seen.samples, losses.at(-1), span),
    recomputed_tokens: end.numRecomputed - start.numRecomputed,
    moved_experts: end.numMoved - start.numMoved,
    requests: meanwhile.length,
    identical: meanwhile.filter(({ request, answer }) => isSame(answer, seen.expected[request]!)).length,
  };
}

const reaches = (timesMs: readonly number[], { fromMs, toMs }: Span): boolean =>
  timesMs[0]! <= toMs && timesMs.at(-1)! >= fromMs;

function redundancyMs(samples: readonly Sample[], loss: SeenLoss | undefined, { fromMs, toMs }: Span): number | null {
  if (loss === undefined) return null;
  const after = samples.filter(({ atMs }) => atMs >= loss.atMs && atMs <= toMs);
  const full = after.find((sample) => isWhole(sample, samples[0]!));
  return full === undefined ? null : full.atMs - fromMs;
}
