/** What travels of instances, as JSON, and what a peer may have sent: each is checked, and has a limit. */
import * as z from 'zod';
import { jsonOrUndefined, printable } from '../../../base/foreign_text.js';
import { MAX_BATCH_KEYS, type BlockBatch } from '../base/block_events.js';
import { ClusterError } from '../base/errors.js';
import { ROLES } from '../../config/cluster_schema.js';
import type { InstanceRecord } from '../base/instance_record.js';
import { MAX_LISTED_REQUESTS, type LoadReport } from '../base/load_report.js';

/** Characters of one message: as many bytes as NATS takes by default. */
export const MAX_MESSAGE_CHARS = 2 ** 20;

const count = z.int().min(0);
const amount = z.number().min(0).nullable();
const text = z.string().min(1).max(1024);
/** Also a token in a subject of NATS and a key in a bucket. */
const instance = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
const ofInstance = { instance, incarnation: text, sequence: count };

const recordSchema = z.object({
  id: instance,
  incarnation: text,
  url: z.url({ protocol: /^https?$/ }).max(1024),
  kind: z.enum(['own', 'foreign']),
  role: z.enum(ROLES),
  isDraining: z.boolean(),
  model: text,
  fingerprint: text.nullable(),
  numRanks: count,
  blockSize: z.int().min(1),
  numKvBlocks: count,
  maxModelLen: count,
  sharing: z.object({ seed: z.string().regex(/^[0-9a-f]{64}$/), separatesForms: z.boolean() }).nullable(),
  isPooled: z.boolean(),
}) satisfies z.ZodType<InstanceRecord>;

const request = z.object({
  id: text,
  isRunning: z.boolean(),
  isMovable: z.boolean(),
  priority: z.number(),
  numPromptTokens: count,
  numOutputTokens: count,
  numBlocks: count,
  arrival: count,
});

const loadSchema = z.object({
  ...ofInstance,
  numWaiting: count,
  numRunning: count,
  numKvBlocks: count,
  numUsedBlocks: count,
  numCachedBlocks: count,
  numFreeBlocksOfRank: count,
  numPrefillTokens: count,
  prefillTokensPerS: amount,
  tbtMs: amount,
  requests: z.array(request).max(MAX_LISTED_REQUESTS),
}) satisfies z.ZodType<LoadReport>;

const keys = z.array(z.string().regex(/^[0-9a-f]{16}$/)).max(MAX_BATCH_KEYS);

const batchSchema = z.object({
  ...ofInstance,
  events: z
    .array(
      z.discriminatedUnion('kind', [
        z.object({ kind: z.literal('stored'), keys }),
        z.object({ kind: z.literal('removed'), keys }),
        z.object({ kind: z.literal('cleared') }),
      ]),
    )
    .max(3),
}) satisfies z.ZodType<BlockBatch>;

/** A record that somebody gave. @throws ClusterError INVALID_RECORD: the first of its fields that can't be */
export const checkedRecord = (value: unknown, from: string): InstanceRecord =>
  checked(recordSchema, value, 'a record', from);

/** A report that somebody gave. @throws ClusterError INVALID_RECORD */
export const checkedLoad = (value: unknown, from: string): LoadReport =>
  checked(loadSchema, value, 'a load report', from);

/** A batch that somebody gave. @throws ClusterError INVALID_RECORD */
export const checkedBatch = (value: unknown, from: string): BlockBatch =>
  checked(batchSchema, value, 'block events', from);

/** What a text of JSON says. @throws ClusterError INVALID_RECORD where it is none, or too long */
export function messageOf(json: string, from: string): unknown {
  if (json.length > MAX_MESSAGE_CHARS)
    throw refusal(from, `a message of ${json.length} characters`, `at most ${MAX_MESSAGE_CHARS} are read`);
  const value = jsonOrUndefined(json);
  if (value === undefined)
    throw refusal(from, `what is no JSON: ${printable(json)}`, 'another version may speak there');
  return value;
}

function checked<T>(schema: z.ZodType<T>, value: unknown, what: string, from: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = printable(issue!.path.join('.'));
  throw refusal(
    from,
    `${what} that can't be: ${path === '' ? '' : `${path}: `}${printable(issue!.message)}`,
    'another version may speak there',
  );
}

/** A message of a peer that can't be. */
export const refusal = (from: string, what: string, advice: string): ClusterError =>
  new ClusterError('INVALID_RECORD', `instance ${printable(from)} sent ${what}; ${advice}`, { instance: from });
