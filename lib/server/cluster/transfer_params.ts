/**
 * `kv_transfer_params` of a request and its answer: vLLM's fields (vllm/distributed/kv_transfer/kv_connector/v1/nixl), and those of a lease beside them.
 * Why: docs/decisions/cluster.md#vllms-fields-carry-a-lease
 */
import * as z from 'zod';
import { flag, integer, name } from '../base/plain_fields.js';

/** vLLM lists blocks, which are their positions here; more than any context has is a slip. */
const MAX_BLOCKS = 2 ** 20;
const MAX_HOST_CHARS = 255;
const HOST_ERROR = 'give a host name or an IP address';
const MAX_URL_CHARS = 512;
/** That one request is brought blocks from. */
export const MAX_HOLDERS = 4;
const HOLDERS_ERROR = `give up to ${MAX_HOLDERS} URLs of instances, http:// or https://`;
const SEED_ERROR = 'give a whole number from 0 to 2^53 − 1';

const hex = (numDigits: number) => {
  const error = `give ${numDigits} hexadecimal digits`;
  return z.string({ error }).regex(new RegExp(`^[0-9a-f]{${numDigits}}$`), { error });
};

/** A seed that tokens are drawn with. */
export const seedField = z
  .int({ error: SEED_ERROR })
  .min(0, { error: SEED_ERROR })
  .max(Number.MAX_SAFE_INTEGER, { error: SEED_ERROR });

/** The name of a lease. */
export const leaseIdField = hex(32);
/** What proves that one may use it. */
export const leaseTokenField = hex(64);

/** A host without its port: it goes into a URL as it is. */
export const hostField = z
  .string({ error: HOST_ERROR })
  .max(MAX_HOST_CHARS, { error: HOST_ERROR })
  .regex(/^([A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?)$/, { error: HOST_ERROR });

/** Where instances are, without paths: one is put behind each. */
export const holdersField = z
  .array(z.url({ protocol: /^https?$/, error: HOLDERS_ERROR }).max(MAX_URL_CHARS, { error: HOLDERS_ERROR }), {
    error: HOLDERS_ERROR,
  })
  .max(MAX_HOLDERS, { error: HOLDERS_ERROR });

/** What a request may have; fields that this doesn't know are ignored, as vLLM does. */
export const transferParams = z.object(
  {
    /** Its keys and values are in another instance: they are read from there. */
    do_remote_prefill: flag(),
    /** It goes on in another instance: what it computes is kept until it is read, or nobody asks for it any more. */
    do_remote_decode: flag(),
    remote_engine_id: name(),
    remote_request_id: name(),
    remote_block_ids: z.array(z.unknown(), { error: 'give a list' }).max(MAX_BLOCKS, { error: 'give fewer' }).nullish(),
    remote_host: hostField.nullish(),
    remote_port: integer(1, 65_535),
    /** It is HTTPS. */
    remote_tls: flag(),
    tp_size: integer(1),
    lease_id: leaseIdField.nullish(),
    lease_token: leaseTokenField.nullish(),
    /** Tokens are drawn with it. */
    seed: seedField.nullish(),
    /** Instances that may have blocks of its prompt, the likeliest first: URLs without a path. */
    holders: holdersField.nullish(),
  },
  { error: 'give an object' },
);

/** Checked. */
export type TransferParams = z.infer<typeof transferParams>;

/** What a source tells whoever is to go on with its request: `kv_transfer_params` of the request to the target. */
export interface OfferedParams {
  readonly do_remote_prefill: true;
  readonly do_remote_decode: false;
  readonly remote_engine_id: string;
  readonly remote_request_id: string;
  /** Positions of the blocks that are there by now. */
  readonly remote_block_ids: readonly number[];
  readonly remote_host: string;
  readonly remote_port: number;
  readonly remote_tls: boolean;
  /** Each rank has whole rows. */
  readonly tp_size: 1;
  readonly lease_id: string;
  readonly lease_token: string;
  readonly seed: number;
}
