/** Control messages between the head and a rank: msgpack, checked on arrival. */
import { Packr } from 'msgpackr';
import * as z from 'zod';
import { CommError } from '../base/errors.js';
import { printable } from '../../base/foreign_text.js';

/** Largest encoded control message. */
export const MAX_CONTROL_BYTES = 64 * 1024 * 1024;

/** What both ends of a new data link know it by. */
const ticket = z.string().max(64);
const rank = z.int().min(0).max(65535);
/** Port 0: reached through the memory of its process. */
const address = z.object({ host: z.string().max(255), port: z.int().min(0).max(65535) });
/** What a peer says is shown to people: one line, and not without end. */
const foreign = (maxChars: number) => z.string().transform((text) => printable(text, maxChars));
/** Ranks that one error may blame. */
const MAX_BLAMED = 64;
/** An error that a peer tells of: what is shown to people of it is one line, and not without end. */
export const remoteError = z.object({
  /** A CommError's code or an upper layer's. */
  code: foreign(64),
  reason: foreign(2000),
  advice: foreign(2000),
  blames: z.array(rank).max(MAX_BLAMED).readonly(),
  rank: rank.optional(),
  layer: z.number().optional(),
  phase: foreign(64).optional(),
  /** Name of the machine on which it happened. */
  host: foreign(255).optional(),
});

/** What a rank is that lost its head: of which job, where others reach it, and what it holds, which is opaque here. */
const back = z.object({ fingerprint: z.string(), jobId: z.string().max(64), ...address.shape, body: z.unknown() });

const MESSAGE = z.discriminatedUnion('type', [
  /** Rank → head, first: asks for a rank number, or for the lowest free one. `back`: it is a rank already, whose head is gone. */
  z.object({ type: z.literal('join'), rank: rank.optional(), back: back.optional() }),
  /** Head → rank: its number, and what the job is. */
  z.object({ type: z.literal('welcome'), rank, size: z.int().min(1), job: z.unknown() }),
  /** Rank → head, at most once, before 'ready': what it can do, opaque here. */
  z.object({ type: z.literal('offer'), body: z.unknown() }),
  /** Head → rank, once every rank has made its offer: what all of them do, opaque here. */
  z.object({ type: z.literal('agreed'), body: z.unknown() }),
  /** Rank → head: weights are loaded and the data server listens. */
  z.object({ type: z.literal('ready'), fingerprint: z.string(), ...address.shape }),
  /** Head → rank: where every rank listens, null where nobody has the seat; now link up. */
  z.object({
    type: z.literal('peers'),
    addresses: z.array(address.nullable()),
    fingerprint: z.string(),
    jobId: z.string(),
  }),
  /** Rank → head: linked to every other rank. */
  z.object({ type: z.literal('meshed') }),
  /** Head → rank: another one takes this seat while the job runs; link up with it, and say 'linked' or 'unlinked'. */
  z.object({ type: z.literal('admit'), rank, ticket, ...address.shape }),
  /** Rank → head: frames travel to and from the rank that it was to admit. */
  z.object({ type: z.literal('linked'), rank, ticket }),
  /** Rank → head: it can't link up with that rank. */
  z.object({ type: z.literal('unlinked'), rank, ticket, error: remoteError }),
  /** Head → rank: nobody has this seat any more; drop the link. */
  z.object({ type: z.literal('dismiss'), rank, reason: foreign(2000) }),
  /** Rank → head: how far loading is, 0 … 1. */
  z.object({ type: z.literal('progress'), what: foreign(64), fraction: z.number() }),
  /** Either way: a message of an upper layer, opaque here. */
  z.object({ type: z.literal('job'), body: z.unknown() }),
  /** Either way: the sender can't go on. */
  z.object({ type: z.literal('failed'), error: remoteError }),
  /** Head → rank: the job is over. */
  z.object({ type: z.literal('shutdown'), reason: foreign(2000) }),
]);

/** Everything that travels on a control link; upper layers type the `body` of 'job'. */
export type ControlMessage = z.infer<typeof MESSAGE>;
/** The message with this `type`. */
export type ControlMessageOf<T extends ControlMessage['type']> = Extract<ControlMessage, { type: T }>;

/** moreTypes keeps typed arrays in job messages typed arrays. */
const packr = new Packr({ useRecords: false, moreTypes: true });

/** The bytes of a message. @throws CommError LIMIT when there are more than {@link MAX_CONTROL_BYTES}. */
export function encodeMessage(message: ControlMessage): Uint8Array {
  const bytes = packr.pack(message);
  if (bytes.byteLength <= MAX_CONTROL_BYTES) return bytes;
  const what = `a '${message.type}' message of ${bytes.byteLength} bytes, ${MAX_CONTROL_BYTES} allowed`;
  throw new CommError('LIMIT', `${what}; send it in parts`);
}

/** The message of these bytes. @throws CommError PROTOCOL on anything that isn't a control message. */
export function decodeMessage(bytes: Uint8Array): ControlMessage {
  let value: unknown;
  try {
    value = packr.unpack(bytes);
  } catch (cause) {
    throw new CommError('PROTOCOL', 'unreadable control message; run the same build everywhere', { cause });
  }
  const parsed = MESSAGE.safeParse(value);
  if (parsed.success) return parsed.data;
  const message = `impossible control message (${parsed.error.issues[0]?.message ?? 'unknown'}); run the same build everywhere`;
  throw new CommError('PROTOCOL', message, { cause: parsed.error });
}
