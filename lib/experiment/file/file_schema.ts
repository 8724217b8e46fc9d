/** The keys of an experiment's file, with their defaults. Keys of `base`, `workload` and `measure` have schemas of their own. */
import * as z from 'zod';
import { choice, integer, key } from '../../config/key_types.js';
import type { Json } from '../base/run.js';

/** Of a sweep, seeds and repeats together; more is a slip. */
export const MAX_RUNS = 100_000;

const MAX_SEED = 2 ** 32 - 1; // what experts.routing_seed takes
const MAX_TIMEOUT_S = 2_147_483; // what timers count up to

const json: z.ZodType<Json> = z.json();
const field = key(z.string().min(1), 'a key of the sweep, a metric, seed, repeat or round', 'string');
const fieldOrNull = key(
  field.nullable(),
  'a key of the sweep, a metric, seed, repeat, round, or null',
  'string',
  'null',
);
const valueList = key(
  z.array(json).min(1),
  'a list of values, under the whole name of a key: parallel.ranks: [1, 2]',
  'list',
);
const scale = choice('linear', 'log').default('linear');

/** A picture. Contract: PlotSettings. */
const plot = z.strictObject({
  title: key(z.string().min(1).nullable(), 'a text, or null', 'string', 'null').default(null),
  mark: choice('auto', 'line', 'bar', 'point', 'box', 'heat').default('auto'),
  x: fieldOrNull.default(null),
  y: field,
  color: fieldOrNull.default(null),
  facet: fieldOrNull.default(null),
  scale: z.strictObject({ x: scale, y: scale }).prefault({}),
  error: choice('ci', 'stdev', 'range', 'none').default('ci'),
  ratio: key(z.boolean(), 'true or false', 'boolean').default(false),
});

const sweep = z.strictObject({
  grid: key(z.record(z.string(), valueList), 'a mapping of keys to lists of values', 'mapping').prefault({}),
  zip: key(z.record(z.string(), valueList), 'a mapping of keys to lists of values', 'mapping').prefault({}),
  list: key(
    z
      .array(key(z.record(z.string(), json), 'a mapping of keys to values', 'mapping'))
      .min(1)
      .nullable(),
    'a list of points, each a mapping of keys to values',
    'list',
  ).default(null),
});

/** Every key of the file. */
export const fileSchema = z.strictObject({
  name: key(
    z
      .string()
      .regex(/^[A-Za-z0-9][\w.-]*$/)
      .nullable(),
    'a name of letters, digits, ".", "_" and "-", which a folder can have',
    'string',
  ).default(null),
  description: key(z.string(), 'a text', 'string').default(''),
  base: key(
    z.union([z.string().min(1), z.record(z.string(), z.unknown())]),
    'the path of a configuration, or a mapping with its keys',
    'string',
    'mapping',
  ).prefault({}),
  workload: key(z.record(z.string(), json), 'a mapping', 'mapping').prefault({}),
  measure: key(
    z.union([z.string().min(1), z.record(z.string(), json)]),
    'the name of a measure, or a mapping with its "kind" and settings',
    'string',
    'mapping',
  ),
  sweep: sweep.prefault({}),
  repeats: integer(1, MAX_RUNS).default(1),
  seeds: key(
    z
      .array(integer(0, MAX_SEED))
      .min(1)
      .refine((seeds) => new Set(seeds).size === seeds.length),
    `a list of different integers from 0 to ${MAX_SEED}`,
    'list',
  ).default([1]),
  warmup: integer(0, 1000).default(0),
  baseline: key(z.record(z.string(), json).nullable(), 'a mapping of keys of the sweep to values', 'mapping').default(
    null,
  ),
  timeout_s: key(
    z.number().gt(0).max(MAX_TIMEOUT_S),
    `a number of seconds > 0 and ≤ ${MAX_TIMEOUT_S}`,
    'number',
  ).default(600),
  parallel: key(z.int().min(1).max(1024).nullable(), 'an integer from 1 to 1024, or null', 'number', 'null').default(
    null,
  ),
  runner: key(
    z.union([z.string().min(1), z.record(z.string(), json)]),
    'the name of a runner, or a mapping with its "kind" and settings',
    'string',
    'mapping',
  ).default('local'),
  plots: key(z.array(plot), 'a list of pictures', 'list').default([]),
});

/** A file as it stands, with defaults. */
export type ExperimentFile = z.infer<typeof fileSchema>;
