/** What the bus keeps, read again: another version or another hand may have written it. */
import * as z from 'zod';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import { JobError } from './errors.js';
import { MAX_CONCURRENCY, MAX_RETRIES, MAX_TIMEOUT_S, type Job, type Json } from './job.js';
import type { JobRecord } from './job_bus.js';
import type { JobRun } from './run.js';
import type { Ask, Shard, Task } from './task.js';

const ERROR = z.object({ code: z.string(), message: z.string() });
const NAME = z.string().regex(/^[A-Za-z0-9_-]{1,200}$/);
const JSON_VALUE = z.custom<Json>((value) => value !== undefined);
const KEY = z.object({ run: NAME, node: NAME, index: z.int().min(0) });
const COUNT = z.int().min(0);
/** Relative, and of names alone. */
const FILE_NAME = z
  .string()
  .refine((name) => name.split('/').every((part) => !['', '.', '..'].includes(part) && !part.includes('\0')));

const SHARD = z.discriminatedUnion('state', [
  z.object({ state: z.literal('trying'), failures: COUNT, error: ERROR }),
  z.object({
    state: z.literal('done'),
    files: z.array(z.object({ name: FILE_NAME, blob: z.string(), bytes: COUNT })),
    value: JSON_VALUE,
    worker: z.string(),
    attempts: COUNT,
    beganMs: z.number(),
    endedMs: z.number(),
  }),
  z.object({
    state: z.enum(['failed', 'stopped']),
    error: ERROR,
    worker: z.string(),
    attempts: COUNT,
    endedMs: z.number(),
  }),
]);

const WORK = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('measure'),
    run: z.looseObject({ id: z.string(), measure: z.looseObject({ kind: z.string() }) }),
  }),
  z.object({ kind: z.literal('command'), args: z.array(z.string()) }),
  z.object({
    kind: z.literal('batch'),
    url: z.string(),
    input: z.string(),
    from: COUNT,
    to: COUNT,
    concurrency: z.int().min(1).max(MAX_CONCURRENCY),
  }),
  z.object({ kind: z.literal('rebalance'), url: z.string() }),
]);

const TASK = z.object({
  key: KEY,
  job: NAME,
  shardTotal: z.int().min(1),
  work: WORK,
  inputs: z.array(z.object({ run: NAME, node: NAME })),
  timeoutMs: z
    .number()
    .gt(0)
    .max(MAX_TIMEOUT_S * 1000),
  retries: z.object({ count: COUNT.max(MAX_RETRIES), backoffMs: z.number().min(0), maxBackoffMs: z.number().min(0) }),
  dueMs: z.number(),
});

/** Null: it isn't one that this version knows. */
export const checkedTask = (task: unknown): Task | null => (TASK.safeParse(task).data as Task | undefined) ?? null;

/** Which shard it is, as far as even that can be read. */
export const keyOfTask = (task: unknown): Task['key'] | null =>
  z.object({ key: KEY }).safeParse(task).data?.key ?? null;

/** Null for none. @throws JobError BROKEN_RECORD */
export function shardOf(record: JobRecord | null): Shard | null {
  if (record === null) return null;
  const shard = SHARD.safeParse(jsonOrUndefined(record.text));
  if (shard.success) return shard.data;
  throw broken(record.key);
}

/** Enough of it that it is one: a leader wrote it, who checked it. */
const RUN = z.looseObject({
  id: NAME,
  job: z.looseObject({ name: NAME, nodes: z.array(z.looseObject({ name: NAME })) }),
  state: z.string(),
  nodes: z.record(NAME, z.looseObject({ state: z.string(), of: NAME })),
});

/** @throws JobError BROKEN_RECORD */
export function runOf(record: JobRecord): JobRun {
  const run = RUN.safeParse(jsonOrUndefined(record.text));
  if (run.success) return run.data as unknown as JobRun;
  throw broken(record.key);
}

const JOB = z.looseObject({
  name: NAME,
  triggers: z.array(z.looseObject({})),
  nodes: z.array(z.looseObject({ name: NAME })),
});

/** @throws JobError BROKEN_RECORD */
export function jobOf(record: JobRecord): Job {
  const job = JOB.safeParse(jsonOrUndefined(record.text));
  if (job.success) return job.data as unknown as Job;
  throw broken(record.key);
}

const ASK = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('run'),
    job: NAME,
    params: z.record(z.string(), JSON_VALUE),
    atMs: z.number(),
    resume: NAME.nullable(),
  }),
  z.object({ kind: z.literal('stop'), run: NAME, atMs: z.number() }),
]);

/** Null: it is none. */
export const askOf = (text: string): Ask | null => ASK.safeParse(jsonOrUndefined(text)).data ?? null;

const broken = (key: string): JobError =>
  new JobError(
    'BROKEN_RECORD',
    `the record ${key} can't be read; another version wrote it: give all machines the same one`,
  );
