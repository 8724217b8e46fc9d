/** What the files of results hold, as they are read again: a disk, an editor or another version may have changed them. */
import * as z from 'zod';
import type { Json } from '../base/run.js';

const TEXTS = z.record(z.string(), z.string());
const METRICS = z.record(z.string(), z.union([z.number(), z.string(), z.null()]));
/** Of JSON that was just read, so that it is none of it that is looked at. */
const JSON_OBJECT = z.record(z.string(), z.custom<Json>());

const ENVIRONMENT = {
  commit: z.string().nullable(),
  versions: TEXTS,
  machine: z.record(z.string(), z.union([z.string(), z.number()])),
};

const RUN = {
  id: z.string().regex(/^[0-9a-f]{16}$/),
  index: z.int().min(0),
  point: JSON_OBJECT,
  round: z.int().min(0),
  seed: z.int(),
  repeat: z.int().min(0),
  config: JSON_OBJECT,
  workload: JSON_OBJECT,
  measure: z.looseObject({ kind: z.string() }),
  warmup: z.int().min(0),
};

/** `run.json`. */
export const PLANNED_RUN = z.object(RUN);

/** `result.json`. */
export const RUN_RESULT = z.object({
  metrics: METRICS,
  details: JSON_OBJECT,
  backend: z.string().nullable(),
  measureMs: z.number(),
  environment: z.object(ENVIRONMENT),
});

/** `error.json`. */
export const RUN_ERROR = z.object({ code: z.string(), message: z.string() });

/** A line of `results.jsonl`. */
export const RESULT_ROW = z.object({
  experiment: z.string(),
  ...RUN,
  status: z.enum(['ok', 'failed', 'timed_out']),
  error: RUN_ERROR.nullable(),
  metrics: METRICS,
  units: TEXTS,
  backend: z.string().nullable(),
  ...ENVIRONMENT,
  started_at: z.iso.datetime(),
  duration_ms: z.number(),
  overhead_ms: z.number().nullable(),
});
