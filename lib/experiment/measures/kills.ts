/** `workload.kills`: ranks that are killed while a server answers. */
import * as z from 'zod';
import { ConfigError } from '../../config/errors.js';
import { key } from '../../config/key_types.js';
import type { ExpertwireConfig } from '../../config/schema.js';

/** A timer waits no longer than 24 days. */
const MIN_PER_MINUTE = 0.001;
const MAX_PER_MINUTE = 600;
const MAX_RETURN_MS = 3_600_000;

const kills = z.strictObject({
  per_minute: key(
    z.union([z.literal(0), z.number().min(MIN_PER_MINUTE).max(MAX_PER_MINUTE)]),
    `0, or a number from ${MIN_PER_MINUTE} to ${MAX_PER_MINUTE}`,
    'number',
  ),
  return_ms: key(
    z.number().min(0).max(MAX_RETURN_MS).nullable(),
    `milliseconds up to ${MAX_RETURN_MS}, or null`,
    'number',
    'null',
  ).default(1000),
  seed: key(
    z
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .nullable(),
    'a whole number from 0, or null',
    'number',
    'null',
  ).default(null),
});

/**
 * `per_minute`: SIGKILLs, the gap between two from half of the mean to one and a half. `return_ms`: so long after each a new rank joins, as a launcher would start
 * it; null: none does. The last rank is never killed. `seed`: null is the run's. Null: nobody is killed.
 */
export const killsSchema = () =>
  key(kills.readonly().nullable(), 'a mapping with per_minute, return_ms and seed, or null', 'mapping', 'null').default(
    null,
  );

/** As a workload has it. */
export type Kills = z.infer<typeof kills> | null;

/** @throws ConfigError where no rank can be lost alone */
export function checkKills({ comm, parallel }: Pick<ExpertwireConfig, 'comm' | 'parallel'>, of: Kills): void {
  if (of === null || of.per_minute === 0) return;
  const at = { key: 'workload.kills' };
  const fail = (why: string): never => {
    throw new ConfigError('INVALID_VALUE', `"${at.key}" kills ranks, ${why}, or leave "${at.key}" out`, at);
  };
  if (parallel.ranks < 2) fail(`but "parallel.ranks" is ${parallel.ranks}, and one stays; give 2 or more`);
  if (comm.transport === 'threads') fail('but "comm.transport" is threads, of one process; set it to ws');
}
