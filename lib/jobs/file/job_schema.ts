/** The keys of a file of jobs, with their defaults. */
import * as z from 'zod';
import { NAME } from '../../config/cluster_schema.js';
import { choice, integer, key } from '../../config/key_types.js';
import { MAX_CONCURRENCY, MAX_RETRIES, MAX_SHARDS, MAX_TIMEOUT_S, type Json } from '../base/job.js';

const MAX_KEPT = 10_000;
const MAX_QUEUED = 10_000;

const json: z.ZodType<Json> = z.json();
const name = key(z.string().regex(NAME), 'up to 64 letters, digits, - or _', 'string');
const seconds = (min: number) =>
  key(z.number().min(min).max(MAX_TIMEOUT_S), `a number of seconds from ${min} to ${MAX_TIMEOUT_S}`, 'number');
const url = key(
  z.url({ protocol: /^https?$/ }).refine((text) => !/[?#@\\]/.test(text)),
  'an http:// or https:// URL without a query or a password',
  'string',
);

/** One of `cron`, `every_s` and `after`. */
const trigger = z.strictObject({
  cron: key(z.string(), 'six fields, the first one seconds, or five', 'string').optional(),
  timezone: key(z.string(), 'a name of the IANA database such as Europe/Berlin', 'string').optional(),
  every_s: integer(1, MAX_TIMEOUT_S).optional(),
  after: name.optional(),
  on: choice('success', 'failure', 'end').optional(),
});

/** An integer, `broadcast`, a list of values, or a file of them. */
const shards = key(
  z.union([
    z.int().min(1).max(MAX_SHARDS),
    z.literal('broadcast'),
    z.array(json).min(1).max(MAX_SHARDS),
    z.strictObject({ file: key(z.string().min(1), 'the path of a file: .json, .jsonl, or a text a line', 'string') }),
  ]),
  `a number from 1 to ${MAX_SHARDS}, broadcast, a list of up to ${MAX_SHARDS} values, or { file }`,
  'number',
  'string',
  'list',
  'mapping',
);

const retries = z.strictObject({
  count: integer(0, MAX_RETRIES).default(2),
  backoff_s: seconds(0).default(1),
  max_backoff_s: seconds(0).default(60),
});

const batch = z.strictObject({
  url,
  input: key(z.string().min(1), 'the path of a file of requests, one a line (JSONL)', 'string'),
  lines_per_shard: integer(1, 1_000_000).default(100),
  concurrency: integer(1, MAX_CONCURRENCY).default(8),
});

/** One of `experiment`, `command`, `batch` and `rebalance`. */
const node = z.strictObject({
  needs: key(z.array(name), 'a list of names of nodes', 'list').default([]),
  experiment: key(z.string().min(1), "the path of an experiment's file", 'string').optional(),
  command: key(
    z.array(key(z.string(), 'a text', 'string')).min(1),
    'a command of expertwire with its arguments, as a list: [generate, --prompt, It was]',
    'list',
  ).optional(),
  batch: batch.optional(),
  rebalance: z.strictObject({ url }).optional(),
  shards: shards.optional(),
  route: choice('any', 'round_robin', 'least_busy', 'consistent_hash', 'failover').default('any'),
  retries: retries.prefault({}),
  timeout_s: seconds(0.001).default(3600),
});

/** A job as it stands in a file. */
export const jobSchema = z.strictObject({
  name,
  description: key(z.string().max(10_000), 'a text', 'string').default(''),
  triggers: key(z.array(trigger).max(64), 'a list of { cron }, { every_s } or { after }', 'list').default([]),
  blocking: choice('serial', 'discard', 'cover').default('serial'),
  misfire: choice('skip', 'once').default('once'),
  max_queued: integer(0, MAX_QUEUED).default(16),
  timeout_s: key(
    z.number().min(0.001).max(MAX_TIMEOUT_S).nullable(),
    `a number of seconds up to ${MAX_TIMEOUT_S}, or null`,
    'number',
    'null',
  ).default(null),
  keep_runs: integer(1, MAX_KEPT).default(20),
  nodes: key(
    z.record(name, node).refine((nodes) => Object.keys(nodes).length > 0),
    'a mapping of names to what is done: nodes: { main: { command: [doctor] } }',
    'mapping',
  ),
});

/** Several of them. */
export const jobsSchema = z.strictObject({
  jobs: key(z.array(jobSchema).min(1), 'a list of jobs', 'list'),
});

/** With defaults. */
export type JobFile = z.infer<typeof jobSchema>;
/** One of its nodes. */
export type NodeFile = JobFile['nodes'][string];
/** One of its triggers. */
export type TriggerFile = JobFile['triggers'][number];
