/** What the two ends of a link say to each other besides frames: JSON in text messages, checked on arrival. */
import * as z from 'zod';
import { CommError, errorOfRemote, remoteErrorOf } from '../base/errors.js';
import { remoteError } from '../job/messages.js';
import { isRounded } from './kv_frames.js';
import { KV_ROW_DTYPES, type KvBlocksWish, type KvWish } from './kv_link.js';

/** Largest control message. */
export const MAX_KV_MESSAGE_BYTES = 8192;
/** That one lease lends. */
export const MAX_LENT_BLOCKS = 65_536;

const token = z.int().min(0).max(0xffffffff);
const WISH = z
  .object({
    from: token,
    to: token,
    numLayers: z.int().min(1).max(65536),
    dtype: z.enum(KV_ROW_DTYPES),
    rowBytes: z.int().min(1).max(0xffffffff),
    wire: z.enum(KV_ROW_DTYPES),
  })
  .refine(({ from, to }) => from < to)
  .refine(({ dtype, rowBytes, wire }) => wire === dtype || (isRounded({ dtype, wire }) && rowBytes % 4 === 0));
const count = (min: number) => z.int().min(min).max(0x7fffffff);
const BLOCKS_WISH = z
  .object({ first: count(0), numBlocks: count(1), rowBytes: count(1), stateBytes: count(0) })
  .refine(({ first, numBlocks }) => first + numBlocks <= MAX_LENT_BLOCKS);
const ASKED = z.discriminatedUnion('type', [
  z.object({ type: z.literal('pull'), wish: WISH }),
  z.object({ type: z.literal('fetch'), wish: BLOCKS_WISH }),
]);
const FAILED = z.object({ type: z.literal('failed'), error: remoteError });

/** What a target asks for: rows of a sequence, or blocks. */
export type KvAsked =
  { readonly type: 'pull'; readonly wish: KvWish } | { readonly type: 'fetch'; readonly wish: KvBlocksWish };

/** Target → source, first: what it wants. */
export const encodeAsked = (asked: KvAsked): string => JSON.stringify(asked);

/** @throws CommError PROTOCOL */
export const decodeAsked = (message: Uint8Array, isBinary: boolean): KvAsked => parse(ASKED, message, isBinary);

/** Source → target, last: why there are no more rows. */
export const encodeFailure = (error: unknown): string =>
  JSON.stringify({ type: 'failed', error: remoteErrorOf(error) });

/** Why there are none. @throws CommError PROTOCOL */
export const decodeFailure = (message: Uint8Array): CommError => errorOfRemote(parse(FAILED, message, false).error);

function parse<T>(schema: z.ZodType<T>, message: Uint8Array, isBinary: boolean): T {
  const result = isBinary ? null : schema.safeParse(jsonOf(message));
  if (result?.success === true) return result.data;
  throw new CommError(
    'PROTOCOL',
    'an impossible message on a link for keys and values; run the same build everywhere',
    {
      phase: 'kv',
    },
  );
}

function jsonOf(message: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(message.buffer, message.byteOffset, message.byteLength).toString());
  } catch {
    return undefined;
  }
}
