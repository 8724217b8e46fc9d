/** The section `router` of the configuration: what stands before many instances. */
import * as z from 'zod';
import { SAME_POLICY } from './plugin_names.js';
import { boolean, choice, integer, key, named } from './key_types.js';

/** Which of its requests an instance gives away, as Llumnix calls them: last come, shortest, longest, first come. */
export const MOVE_CHOICES = ['LCR', 'SR', 'LR', 'FCW'] as const;
/** One of {@link MOVE_CHOICES}. */
export type MoveChoice = (typeof MOVE_CHOICES)[number];
/** Why a request may move although its instance lives. */
export const MOVE_REASONS = ['balance', 'defragment', 'priority'] as const;
/** One of {@link MOVE_REASONS}. */
export type MoveReason = (typeof MOVE_REASONS)[number];

const DAY_MS = 86_400_000;
const MAX_COUNT = 2 ** 24;
const ms = integer(1, DAY_MS);
const blocks = key(z.number().min(0).max(1e9), 'a number of KV blocks ≥ 0', 'number');
const target = key(z.number().gt(0).max(DAY_MS).nullable(), 'a number of ms > 0, or null', 'number', 'null');
const ascending = z
  .array(z.int().min(1).max(MAX_COUNT))
  .min(1)
  .max(16)
  .refine((bounds) => bounds.every((bound, i) => i === 0 || bound > bounds[i - 1]!));

/** Settings of a router; pure schema, {@link ROUTER_DEFAULTS} are its defaults. */
export const routerSection = z
  .strictObject({
    host: key(z.string().min(1).toLowerCase(), 'a name or an IP address', 'string'),
    port: integer(0, 65_535),
    policy: named('router.policy'),
    decode_policy: named('router.decode_policy'),
    seed: integer(0, Number.MAX_SAFE_INTEGER),
    kv_overlap_weight: key(z.number().min(0).max(1e6), 'a number ≥ 0', 'number'),
    temperature: key(z.number().min(0).max(1e6), 'a number ≥ 0 (0 = the best)', 'number'),
    kv_events: boolean,
    kv_ttl_ms: ms,
    max_index_blocks: integer(1, 2 ** 28),
    length_buckets: key(ascending.readonly(), 'a list of 1 to 16 growing numbers of tokens', 'list'),
    slo: z.strictObject({ ttft_ms: target, tbt_ms: target }).readonly(),
    session_header: key(
      z
        .string()
        .regex(/^[a-z0-9-]{1,64}$/i)
        .toLowerCase()
        .nullable(),
      'the name of a header, or null',
      'string',
      'null',
    ),
    session_ttl_ms: ms,
    max_sessions: integer(1, MAX_COUNT),
    local_prefill_tokens: integer(0, MAX_COUNT),
    retries: integer(0, 64),
    resumes: integer(0, 1024),
    connect_timeout_ms: ms,
    idle_timeout_ms: ms,
    health_interval_ms: ms,
    health_timeout_ms: ms,
    circuit_failures: integer(1, 1024),
    circuit_open_ms: ms,
    migration: z
      .strictObject({
        enabled: boolean,
        reasons: key(z.array(z.enum(MOVE_REASONS)).readonly(), `a list of ${MOVE_REASONS.join(', ')}`, 'list'),
        interval_ms: ms,
        request: choice(...MOVE_CHOICES),
        out_below: blocks,
        max_at_once: integer(1, 1024),
      })
      .readonly(),
    roles: z
      .strictObject({ policy: choice('fixed', 'auto'), interval_ms: ms, cool_down_ms: integer(0, DAY_MS) })
      .readonly(),
    replication: z
      .strictObject({
        enabled: boolean,
        interval_ms: ms,
        half_life_ms: ms,
        requests_per_replica: key(z.number().min(1).max(1e6), 'a number of requests ≥ 1', 'number'),
        max_replicas: integer(1, 1024),
        max_blocks: integer(1, 65_536),
        max_at_once: integer(1, 1024),
        cool_down_ms: integer(0, DAY_MS),
      })
      .readonly(),
    elastic: z
      .strictObject({ interval_ms: ms, cool_down_ms: integer(0, DAY_MS), add_below: blocks, remove_above: blocks })
      .readonly(),
  })
  .readonly();

/** A router that is given no settings; those of Dynamo and Llumnix have their values. */
export const ROUTER_DEFAULTS: z.infer<typeof routerSection> = {
  host: '127.0.0.1',
  port: 8000,
  policy: 'kv',
  decode_policy: SAME_POLICY, // also behind a prompt
  seed: 0, // of what policies leave to chance
  kv_overlap_weight: 1, // of what a request would compute, against the work that an instance has
  temperature: 0, // the lowest cost wins
  kv_events: true,
  kv_ttl_ms: 120_000, // without events
  max_index_blocks: 2 ** 20, // of all instances together
  length_buckets: [64, 256, 1024],
  slo: { ttft_ms: null, tbt_ms: null }, // no limits
  session_header: null, // no sessions
  session_ttl_ms: 600_000,
  max_sessions: 65_536,
  local_prefill_tokens: 0, // every prompt goes to a prefill instance, where there are some
  retries: 2, // of a request without a token yet
  resumes: 8, // of a request behind its first token
  connect_timeout_ms: 2000,
  idle_timeout_ms: 3_600_000, // between two pieces of an answer, of an instance that answers its health checks
  health_interval_ms: 1000,
  health_timeout_ms: 2000,
  circuit_failures: 3, // in a row
  circuit_open_ms: 5000,
  migration: {
    enabled: false,
    reasons: [...MOVE_REASONS],
    interval_ms: 1000,
    request: 'SR',
    out_below: 3, // free blocks per running request
    max_at_once: 4,
  },
  roles: { policy: 'fixed', interval_ms: 1000, cool_down_ms: 10_000 },
  replication: {
    enabled: true,
    interval_ms: 1000,
    half_life_ms: 60_000, // of what counts of a request
    requests_per_replica: 16, // that count, for another instance to have a prefix
    max_replicas: 4, // with the first
    max_blocks: 1024, // of one prefix, from its beginning
    max_at_once: 2, // copies, of all prefixes
    cool_down_ms: 10_000, // before the same prefix goes to the same instance again
  },
  elastic: { interval_ms: 1000, cool_down_ms: 30_000, add_below: 10, remove_above: 60 }, // free blocks per running request
};
