/** `workload.link`: the links between each two ranks. */
import * as z from 'zod';
import { ConfigError } from '../../config/errors.js';
import { key } from '../../config/key_types.js';
import type { ExpertwireConfig } from '../../config/schema.js';
import type { PlannedRun } from '../base/run.js';

/** Longer than between any two places on Earth, and shorter than a rank is waited for. */
const MAX_DELAY_MS = 10_000;
const [MIN_GBIT, MAX_GBIT] = [1e-6, 1e6];
const GBIT_BYTES = 125_000_000;

const link = z.strictObject({
  delay_ms: key(z.number().min(0).max(MAX_DELAY_MS), `milliseconds from 0 to ${MAX_DELAY_MS}`, 'number').default(0),
  gbit_per_s: key(
    z.number().min(MIN_GBIT).max(MAX_GBIT).nullable(),
    'Gbit/s over 0, or null for no limit',
    'number',
    'null',
  ).default(null),
});

/** Each way, of each pair of ranks. Null: ranks reach each other straight, not through the process that limits links. */
export const linkSchema = () =>
  key(link.readonly().nullable(), 'a mapping with delay_ms and gbit_per_s, or null', 'mapping', 'null').default(null);

/** As a workload has it. */
export type Link = z.infer<typeof link> | null;

/** Of a run whose workload may have one. */
export const linkOf = ({ workload }: Pick<PlannedRun, 'workload'>): Link => workload.link as unknown as Link;

/** What a process that limits links is told; null: there is none. */
export const limitsOf = (of: Link): { readonly delayMs: number; readonly bytesPerSecond: number | null } | null =>
  of && { delayMs: of.delay_ms, bytesPerSecond: of.gbit_per_s === null ? null : of.gbit_per_s * GBIT_BYTES };

/** @throws ConfigError where nothing can stand between ranks, or they would give each other up */
export function checkLink({ comm }: Pick<ExpertwireConfig, 'comm'>, of: Link): void {
  if (of === null) return;
  const at = { key: 'workload.link' };
  checkLinkable({ comm }, at.key);
  if (2 * of.delay_ms < comm.timeout_ms) return;
  const what = `"${at.key}" has a delay of ${of.delay_ms} ms each way, and "comm.timeout_ms" is ${comm.timeout_ms}`;
  throw new ConfigError('INVALID_VALUE', `${what}, after which a rank is given up; raise it, or lower the delay`, at);
}

/** `what`: what puts a process between ranks. @throws ConfigError where it can't stand there */
export function checkLinkable({ comm }: Pick<ExpertwireConfig, 'comm'>, what: string): void {
  const fail = (key: string, why: string): never => {
    throw new ConfigError('INVALID_VALUE', `"${what}" puts a process between ranks, ${why}`, { key });
  };
  if (comm.tls.cert !== null) fail('comm.tls.cert', `which can't read TLS; leave one of them out`);
  if (comm.transport === 'threads')
    fail(
      'comm.transport',
      `but "comm.transport" is threads, which have no links; set it to ws, or leave the other out`,
    );
}
