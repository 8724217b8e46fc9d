/** The list `instances` of the configuration: what `expertwire cluster` starts, and what a router knows from the start. */
import * as z from 'zod';
import { MAX_RANKS } from '../../base/ids.js';
import { NAME, ROLES } from './cluster_schema.js';
import { integer, key } from './key_types.js';

/** Of one router: more is a slip. */
export const MAX_INSTANCES = 1024;

const orNull = (allowed: string) => `${allowed}, or null`;

const countOrNull = key(
  z.int().min(1).max(MAX_INSTANCES).nullable().default(null),
  orNull(`an integer from 1 to ${MAX_INSTANCES}`),
  'number',
  'null',
);

const entry = z
  .strictObject({
    name: key(
      z.string().regex(NAME).nullable().default(null),
      orNull('up to 64 letters, digits, - or _'),
      'string',
      'null',
    ),
    count: integer(1, MAX_INSTANCES).default(1),
    min_count: countOrNull,
    max_count: countOrNull,
    ranks: key(
      z.int().min(1).max(MAX_RANKS).nullable().default(null),
      orNull(`an integer from 1 to ${MAX_RANKS}`),
      'number',
      'null',
    ),
    role: key(z.enum(ROLES).nullable().default(null), orNull(ROLES.join(', ')), 'string', 'null'),
    host: key(
      z.string().min(1).toLowerCase().nullable().default(null),
      orNull('a name or an IP address'),
      'string',
      'null',
    ),
    port: integer(0, 65_535).default(0),
    url: key(
      z
        .url({ protocol: /^https?$/ })
        .nullable()
        .default(null),
      orNull('an http:// or https:// URL'),
      'string',
      'null',
    ),
    api_key_env: key(
      z
        .string()
        .regex(/^[A-Za-z_][A-Za-z0-9_]*$/)
        .nullable()
        .default(null),
      orNull('the name of a variable of the environment'),
      'string',
      'null',
    ),
    set: key(
      z.record(z.string(), z.json()).readonly().default({}),
      'a mapping of keys of the configuration',
      'mapping',
    ),
  })
  .readonly();

/** Entries, in order. */
export const instancesSection = key(
  z.array(entry).max(MAX_INSTANCES).readonly(),
  `a list of { ${Object.keys(entry.unwrap().shape).join(', ')} }`,
  'list',
);

/** One entry, of one instance or several alike. */
export type InstanceEntry = z.infer<typeof entry>;
