/** What becomes of a shard: what its record says next, and what its task's delivery is told. Pure. Why: docs/decisions/jobs.md#a-shard-is-committed-once */
import type { Retries } from '../base/job.js';
import type { TaskError } from '../base/run.js';
import type { Shard } from '../base/task.js';

/** Deliveries beyond failures: workers died with it, or gave it back. More of them, and it isn't tried any more. */
export const MAX_LOSSES = 20;

/** What a worker does with a shard that it is given. */
export type Beginning =
  /** Somebody ended it already. */
  | { readonly kind: 'over' }
  /** Workers die of it. */
  | { readonly kind: 'lost'; readonly failures: number }
  | { readonly kind: 'try'; readonly failures: number; readonly attempt: number };

/** `deliveries`: of its task, this one too. */
export function beginningOf(shard: Shard | null, deliveries: number): Beginning {
  if (shard !== null && shard.state !== 'trying') return { kind: 'over' };
  const failures = shard?.failures ?? 0;
  if (deliveries - failures > MAX_LOSSES) return { kind: 'lost', failures };
  return { kind: 'try', failures, attempt: Math.max(deliveries, failures + 1) };
}

/** A failure that comes again however often it is tried. */
const FINAL_CODES: ReadonlySet<string> = new Set(['NOT_ALLOWED', 'TOO_MANY', 'BROKEN_RECORD']);

/** What is written after a try that failed, and when the next one is; null: there is none. */
export interface AfterFailure {
  readonly shard: Shard;
  readonly againMs: number | null;
}

/** `shard`: as it is kept now. */
export function afterFailure(
  shard: Shard | null,
  error: TaskError,
  { count, backoffMs, maxBackoffMs }: Retries,
  { worker, attempt, nowMs }: { readonly worker: string; readonly attempt: number; readonly nowMs: number },
): AfterFailure {
  const failures = (shard?.state === 'trying' ? shard.failures : 0) + 1;
  if (failures > count || FINAL_CODES.has(error.code))
    return { shard: { state: 'failed', error, worker, attempts: attempt, endedMs: nowMs }, againMs: null };
  const againMs = Math.min(maxBackoffMs, backoffMs * 2 ** Math.min(failures - 1, MAX_DOUBLINGS));
  return { shard: { state: 'trying', failures, error }, againMs };
}

const MAX_DOUBLINGS = 40;
