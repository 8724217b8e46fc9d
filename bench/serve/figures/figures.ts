/** What a load came to, with the definitions of vLLM's `bench serve`. Pure. */
import { distributionOf, type Distribution } from './distribution.js';
import { e2elMs, isCompleted, itlsMs, numOutputTokens, numPromptTokens, tpotMs, ttftMs } from './record.js';
import type { CompletedRecord, RequestRecord } from './record.js';

/** The latencies that are told as distributions. */
export const METRICS = ['ttft', 'tpot', 'itl', 'e2el'] as const;

/** One of {@link METRICS}. */
export type Metric = (typeof METRICS)[number];

/** Milliseconds that a good request stays within, each; metrics that aren't named don't count. */
export type Targets = Readonly<Partial<Record<'ttft' | 'tpot' | 'e2el', number>>>;

/** Requests that failed in the same way. */
export interface FailureCount {
  readonly kind: string;
  readonly reason: string;
  readonly count: number;
}

/** Figures of a whole load; rates are per second. */
export interface ServeFigures {
  readonly durationMs: number;
  readonly numCompleted: number;
  readonly numFailed: number;
  /** Most frequent first. */
  readonly failures: readonly FailureCount[];
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Completed requests whose answer was counted by its chunks, because the server told no usage. */
  readonly numCountedByChunks: number;
  readonly requestThroughput: number;
  /** Null without targets. */
  readonly requestGoodput: number | null;
  readonly numGood: number | null;
  readonly outputThroughput: number;
  readonly totalThroughput: number;
  /** Most tokens that arrived in one second from the first sending on. */
  readonly peakOutputThroughput: number;
  /** Most requests in flight at one time, failed ones among them. */
  readonly peakConcurrency: number;
  /** Milliseconds; null without values. */
  readonly latencies: Readonly<Record<Metric, Distribution | null>>;
}

/** What to tell. */
export interface FigureOptions {
  readonly percentiles: readonly number[];
  /** Null: no goodput. */
  readonly targets: Targets | null;
}

/** Figures of all requests; latencies, tokens and rates of those alone that were answered whole. */
export function figuresOf(
  records: readonly RequestRecord[],
  durationMs: number,
  { percentiles, targets }: FigureOptions,
): ServeFigures {
  const completed = records.filter(isCompleted);
  const seconds = durationMs / 1000;
  const inputTokens = sum(completed.map((record) => numPromptTokens(record) ?? 0));
  const outputTokens = sum(completed.map(numOutputTokens));
  const numGood = targets && completed.filter((record) => isGood(record, targets)).length;
  const values = latenciesOf(completed);
  const distribution = (metric: Metric): Distribution | null => distributionOf(values[metric], percentiles);
  return {
    durationMs,
    numCompleted: completed.length,
    numFailed: records.length - completed.length,
    failures: failuresOf(records),
    inputTokens,
    outputTokens,
    numCountedByChunks: completed.filter(({ answer }) => answer.usage === null && answer.tokenIds === null).length,
    requestThroughput: completed.length / seconds,
    requestGoodput: numGood === null ? null : numGood / seconds,
    numGood,
    outputThroughput: outputTokens / seconds,
    totalThroughput: (inputTokens + outputTokens) / seconds,
    peakOutputThroughput: peakOutput(completed),
    peakConcurrency: peakConcurrency(records),
    latencies: {
      ttft: distribution('ttft'),
      tpot: distribution('tpot'),
      itl: distribution('itl'),
      e2el: distribution('e2el'),
    },
  };
}

/** Every value of every metric. */
export const latenciesOf = (completed: readonly CompletedRecord[]): Readonly<Record<Metric, readonly number[]>> => ({
  ttft: completed.map(ttftMs),
  tpot: completed.map(tpotMs).filter((ms) => ms !== null),
  itl: completed.flatMap(itlsMs),
  e2el: completed.map(e2elMs),
});

/** Whether a request meets all targets; as vLLM counts, one token alone has a TPOT of 0. */
export function isGood(
  record: CompletedRecord,
  { ttft = Infinity, tpot = Infinity, e2el = Infinity }: Targets,
): boolean {
  return ttftMs(record) <= ttft && (tpotMs(record) ?? 0) <= tpot && e2elMs(record) <= e2el;
}

function failuresOf(records: readonly RequestRecord[]): FailureCount[] {
  const counts = new Map<string, FailureCount>();
  for (const { failure } of records) {
    if (failure === null) continue;
    const key = JSON.stringify(failure);
    counts.set(key, { ...failure, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}

/** By seconds from the first sending; a chunk of several tokens counts as its share of them. */
function peakOutput(completed: readonly CompletedRecord[]): number {
  const first = completed.reduce((min, { startMs }) => Math.min(min, startMs), Infinity);
  const seconds = new Map<number, number>();
  for (const record of completed) {
    const { chunkMs } = record.answer;
    const tokens = numOutputTokens(record) / chunkMs.length;
    for (const ms of chunkMs) {
      const second = Math.floor((ms - first) / 1000);
      seconds.set(second, (seconds.get(second) ?? 0) + tokens);
    }
  }
  return Math.max(0, ...seconds.values());
}

/** A request that ends in the moment in which another starts leaves before it comes. */
function peakConcurrency(records: readonly RequestRecord[]): number {
  const changes = records.flatMap(({ startMs, endMs }) => [[startMs, 1] as const, [endMs, -1] as const]);
  changes.sort(([a, up], [b, down]) => a - b || up - down);
  let [now, peak] = [0, 0];
  for (const [, change] of changes) peak = Math.max(peak, (now += change));
  return peak;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
