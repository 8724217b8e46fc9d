/** What the endpoints of loans take and answer. A loan's token is its key: `Authorization: Bearer TOKEN`. */
import * as z from 'zod';
import { MAX_LOAN_BLOCKS } from '../../head/kv/lending.js';
import { holdersField, hostField, leaseIdField, leaseTokenField } from './transfer_params.js';

const KEY_ERROR = `give 1 to ${MAX_LOAN_BLOCKS} keys of KV blocks, of 64 hexadecimal digits each`;
const DIGEST_ERROR = 'give it as the instances of one model have it';

const keyField = z.string({ error: KEY_ERROR }).regex(/^[0-9a-f]{64}$/, { error: KEY_ERROR });
/** Keys in the order of a sequence: each stands for all tokens before it, too. */
export const keysField = z
  .array(keyField, { error: KEY_ERROR })
  .min(1, { error: KEY_ERROR })
  .max(MAX_LOAN_BLOCKS, { error: KEY_ERROR });

const digest = z.string({ error: DIGEST_ERROR }).max(256, { error: DIGEST_ERROR });

/** POST /v1/kv/match, for who has the cluster key: which blocks, and what they are to whoever asks. */
export const matchBody = z.object(
  {
    identity: z.object(
      { fingerprint: digest, sharing: digest, block_size: z.int({ error: DIGEST_ERROR }).min(1) },
      { error: DIGEST_ERROR },
    ),
    keys: keysField,
  },
  { error: 'give a JSON object' },
);

/** Checked. */
export type MatchBody = z.infer<typeof matchBody>;

/** What it is answered: nothing is here, or it would have other bits; or a loan, which ends without a sign of life for `timeout_ms`. */
export const matchAnswer = z.union([
  z.object({
    num_blocks: z.int().min(1).max(MAX_LOAN_BLOCKS),
    lease: z.object({ id: leaseIdField, token: leaseTokenField }),
    place: z.object({ host: hostField, port: z.int().min(1).max(65_535) }),
    timeout_ms: z.int().min(1),
  }),
  z.object({ num_blocks: z.literal(0) }),
]);

/** Checked. */
export type MatchAnswer = z.infer<typeof matchAnswer>;

/** POST /v1/kv/fetch, for who has the cluster key: blocks that are to be here too, and who may have them, the likeliest first. */
export const fetchBody = z.object({ keys: keysField, holders: holdersField }, { error: 'give a JSON object' });

/** Of /v1/kv/loans/ID/renew and release. */
export const loanPath = z.object({ id: leaseIdField });

/** A key's characters, a byte each, as digits. */
export const hexOfKey = (key: string): string => Buffer.from(key, 'latin1').toString('hex');

/** The other way. */
export const keyOfHex = (hex: string): string => Buffer.from(hex, 'hex').toString('latin1');
