/** What the endpoints of leases take and answer. A lease's token is its key: `Authorization: Bearer TOKEN`. */
import * as z from 'zod';
import { KV_DTYPES } from '../../../compute/base/kv_dtype.js';
import { integer } from '../base/plain_fields.js';
import { hostField, leaseIdField, seedField } from './transfer_params.js';

const ID_ERROR = 'give the id of a request, as X-Request-Id or request_id had it';

/** POST /v1/kv/leases, for who has the cluster key; answered with {@link OfferedParams}. */
export const offerBody = z.object(
  { request_id: z.string({ error: ID_ERROR }).min(1, { error: ID_ERROR }).max(256, { error: ID_ERROR }) },
  { error: 'give a JSON object' },
);

/** Of /v1/kv/leases/ID, and of its /pause, /commit and /rollback. */
export const leasePath = z.object({ id: leaseIdField });

const whole = (min: number, max: number) => z.coerce.number().pipe(integer(min, max).unwrap().unwrap()).optional();

/**
 * GET /v1/kv/leases/ID: at once, or, for one who has the state numbered `after`, when there are so many `tokens`, it became final, its place is another, or
 * `wait` milliseconds are over: a third of `cluster.lease_timeout_ms` at most. To ask keeps the lease.
 */
export const stateQuery = z.object({
  after: whole(-1, Number.MAX_SAFE_INTEGER),
  tokens: whole(0, Number.MAX_SAFE_INTEGER),
  wait: whole(0, 86_400_000),
});

const count = z.int().min(0);
const digest = z.string().max(256);

/** How far a request that is leased is, as GET and POST …/pause tell it: a SourceState of lib/protocol/kv_source.ts. */
export const leaseState = z.object({
  /** Counts up with each change. */
  version: count,
  /** Where its rank lets its rows be read; null: it waits for room, or for another rank. */
  place: z.object({ host: hostField, port: z.int().min(1).max(65_535) }).nullable(),
  identity: z.object({
    fingerprint: digest,
    shape: z.object({ num_layers: count, dtype: z.enum(KV_DTYPES), row_bytes: count }).nullable(),
    sharing: digest.nullable(),
  }),
  num_prompt_tokens: count,
  prompt_digest: digest,
  seed: seedField,
  output_token_ids: z.array(count),
  /** Tokens whose rows are there, and those of them before the first one that lost an expert. */
  num_tokens: count,
  num_exact_tokens: count,
  /** Nothing more is computed here until commit or rollback. */
  is_final: z.boolean(),
  /** It comes to that without being asked to pause. */
  pauses_itself: z.boolean(),
});

/** Checked. */
export type LeaseStateMessage = z.infer<typeof leaseState>;
