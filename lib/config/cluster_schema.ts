/** What an instance is in a cluster of them: the section `cluster` of the configuration. */
import * as z from 'zod';
import { boolean, choice, integer, key, pemFile } from './key_types.js';

/** What an instance computes: everything, prompts, or the tokens behind prompts. */
export const ROLES = ['mixed', 'prefill', 'decode'] as const;
/** One of {@link ROLES}. */
export type Role = (typeof ROLES)[number];

/** Of names of clusters and instances, which stand in subjects of NATS, logs and metrics. */
export const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const DAY_MS = 86_400_000;
const name = z.string().regex(NAME);

/** Addresses of servers of NATS; none says who one is, since others see them. */
export const NATS_SERVERS = /^(nats|tls):\/\/[^\s,@]+(,[^\s,@]+)*$/;

/** The bus between the processes of one cluster; `local`: the router asks each instance over HTTP. */
const bus = z.union([z.literal('local'), z.string().regex(/^(nats|tls):\/\/[^\s,]+(,[^\s,]+)*$/)]);

/** Settings of one instance; pure schema, {@link CLUSTER_DEFAULTS} are its defaults. */
export const clusterSection = z
  .strictObject({
    enabled: boolean,
    name: key(name, 'up to 64 letters, digits, - or _', 'string'),
    id: key(name.nullable(), 'up to 64 letters, digits, - or _, or null to have one drawn', 'string', 'null'),
    role: choice(...ROLES),
    url: key(z.url({ protocol: /^https?$/ }).nullable(), 'an http:// or https:// URL, or null', 'string', 'null'),
    bus: key(bus, 'local, or nats://HOST:PORT (tls://HOST:PORT), several with commas between them', 'string'),
    nats: z
      .strictObject({
        credentials: key(z.string().min(1).nullable(), 'the path of a .creds file, or null', 'string', 'null'),
        tls: z.strictObject({ cert: pemFile, key: pemFile, ca: pemFile }).readonly(),
      })
      .readonly(),
    heartbeat_ms: integer(100, DAY_MS),
    ttl_ms: integer(1000, DAY_MS),
    load_interval_ms: integer(10, DAY_MS),
    kv_port: integer(0, 65_535),
    kv_stream: choice('auto', 'on', 'off'),
    stream_min_tokens: integer(1, 2 ** 24),
    kv_wire: choice('f32', 'bf16'),
    lease_timeout_ms: integer(100, DAY_MS),
    max_stages: integer(1, 1024),
    last_stage_blocks: integer(1, 65_536),
  })
  .readonly();

/** An instance is alone unless it says otherwise. */
export const CLUSTER_DEFAULTS: z.infer<typeof clusterSection> = {
  enabled: false,
  name: 'expertwire', // of the cluster
  id: null, // drawn
  role: 'mixed',
  url: null, // where the server listens
  bus: 'local',
  nats: { credentials: null, tls: { cert: null, key: null, ca: null } },
  heartbeat_ms: 1000,
  ttl_ms: 5000, // without a heartbeat
  load_interval_ms: 100, // between two reports of load, which are made where it changed
  kv_port: 0, // any free one
  kv_stream: 'auto', // by the length of the prompt
  stream_min_tokens: 512,
  kv_wire: 'f32', // exact
  lease_timeout_ms: 10_000, // without a sign of life from the other end
  max_stages: 3, // as Llumnix
  last_stage_blocks: 16, // as Llumnix
};
