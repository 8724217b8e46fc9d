/** What a run is known by. Pure. Why: docs/decisions/experiments.md#the-id-of-a-run-is-a-hash-of-what-it-computes */
import { createHash } from 'node:crypto';
import type { PlannedRun } from '../base/run.js';

const ID_DIGITS = 16;

/** 16 hexadecimal digits of the SHA-256 of all but its place in the order, as canonical JSON. `inputs`: digests of what it reads. */
export function runId(
  { point, seed, repeat, config, workload, measure, warmup }: Omit<PlannedRun, 'id' | 'index' | 'round'>,
  inputs: readonly string[],
): string {
  const computed = { point, seed, repeat, config, workload, measure, warmup, inputs };
  return createHash('sha256').update(canonicalJson(computed)).digest('hex').slice(0, ID_DIGITS);
}

/** JSON whose keys are sorted, by UTF-16 units: equal for equal values. What is undefined isn't there. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => (isMapping(each) ? sorted(each) : each));
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Entries in order; integers come first in any object, so that order is the same for the same keys. */
const sorted = (value: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
