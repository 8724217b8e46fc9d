/** What two pools say to each other besides blocks: JSON in text messages, checked on arrival. One question per link, and its answer. */
import * as z from 'zod';
import { remoteErrorOf, remoteMessage } from '../../comm/base/errors.js';
import { remoteError } from '../../comm/job/messages.js';
import { KvPoolError } from './errors.js';

/** Of one transfer. */
export const MAX_TRANSFERRED_BLOCKS = 65_536;
/** A key is 32 bytes, in hexadecimal digits, beside quotes and a comma. */
export const MAX_POOL_MESSAGE_BYTES = 4096 + 67 * MAX_TRANSFERRED_BLOCKS;

const hex = (numDigits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${numDigits}}$`));

const BRING = z.object({
  type: z.literal('bring'),
  /** SHA-256 of what bytes depend on besides tokens. */
  identity: hex(64),
  blockBytes: z.int().min(1),
  blockSize: z.int().min(1),
  /** Of a sequence's blocks in order of position from its first one on where they are inserted. */
  keys: z.array(hex(64)).min(1).max(MAX_TRANSFERRED_BLOCKS),
  /** Whoever asks for their tokens is to find them; otherwise they are given to the pool's owner. */
  isInserted: z.boolean(),
  lease: z.object({ id: hex(32), token: hex(64) }),
  place: z.object({ host: z.string().max(255), port: z.int().min(1).max(65_535) }),
});

const ANSWER = z.discriminatedUnion('type', [
  z.object({ type: z.literal('brought'), blocks: z.array(z.int().min(0)).max(MAX_TRANSFERRED_BLOCKS) }),
  z.object({ type: z.literal('failed'), isRefused: z.boolean(), error: remoteError }),
]);

/** A pool is to read blocks that another one lends. */
export type BringOrder = Omit<z.infer<typeof BRING>, 'type'>;

/** Source → target. */
export const encodeBring = (order: BringOrder): string => JSON.stringify({ type: 'bring', ...order });

/** @throws KvPoolError REFUSED */
export const decodeBring = (message: Uint8Array): BringOrder => parse(BRING, message);

/** Target → source. */
export const encodeBrought = (blocks: readonly number[]): string => JSON.stringify({ type: 'brought', blocks });

/** Target → source. */
export const encodeFailed = (error: unknown): string => {
  const isRefused = error instanceof KvPoolError && error.code === 'REFUSED';
  return JSON.stringify({ type: 'failed', isRefused, error: remoteErrorOf(error) });
};

/** The blocks there. @throws KvPoolError REFUSED, TRANSFER_FAILED */
export function decodeAnswer(message: Uint8Array): readonly number[] {
  const answer = parse(ANSWER, message);
  if (answer.type === 'brought') return answer.blocks;
  const code = answer.isRefused ? 'REFUSED' : 'TRANSFER_FAILED';
  throw new KvPoolError(code, `the other pool says: ${remoteMessage(answer.error)}`);
}

function parse<T>(schema: z.ZodType<T>, message: Uint8Array): T {
  try {
    return schema.parse(JSON.parse(Buffer.from(message).toString()));
  } catch (cause) {
    const text = 'an impossible message of another pool; run the same build everywhere';
    throw new KvPoolError('REFUSED', text, { cause });
  }
}
