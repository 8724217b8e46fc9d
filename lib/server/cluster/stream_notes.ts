/**
 * Comments that a stream has for the router, beside events for the client, whose readers ignore them: a line that begins with a colon, first in its block.
 * Why: docs/decisions/cluster.md#comments-tell-the-router-what-events-hold
 */
import * as z from 'zod';
import { jsonOrUndefined } from '../../../base/foreign_text.js';
import { hostField, leaseIdField, leaseTokenField, type OfferedParams } from './transfer_params.js';

/** A request header: who sends it with `1` and has the cluster key gets {@link StreamNote}s, and requests that can move. */
export const ROUTER_HEADER = 'x-expertwire-router';

/** First line of a stream that begins with several blocks, of which the last one has the note `begun`: so a router sees by its first byte that there are notes. */
export const OPENING_LINE = ': opening\n';

/**
 * What a comment says. Blocks without one belong to the next that has one: what is passed on is whole with it, and can be gone on from. Streams that can't
 * move have `begun`, `failed` and `done` alone.
 */
export type StreamNote =
  | {
      /** First of all. */
      readonly kind: 'begun';
      /** What {@link Resume} takes for another instance to go on. */
      readonly seed: number;
      readonly created: number;
      /** It can go on elsewhere: by a lease, or with `resume` after a death. */
      readonly isMovable: boolean;
    }
  /** Of `do_remote_decode`: the target may begin, with these as its `kv_transfer_params`. */
  | { readonly kind: 'kv'; readonly params: OfferedParams }
  /** It goes on here from now on, behind so many tokens of output; those that `resume` didn't name are told again, one in each block. */
  | { readonly kind: 'resumed'; readonly numTokens: number }
  /** Tokens of output that this block tells, with those before it that have no comment. */
  | { readonly kind: 'tokens'; readonly tokenIds: readonly number[] }
  /** It is over, and this is the last block. */
  | { readonly kind: 'done' }
  /** It failed; what follows in this block tells the client so. `code`: in small letters, as of errors. */
  | { readonly kind: 'failed'; readonly code: string }
  /** It goes on elsewhere; this is the last block. */
  | { readonly kind: 'moved' };

/** As it stands in the stream, with its end of line; a block ends with one more. */
export function noteLine(note: StreamNote): string {
  return `: ${[note.kind, ...valuesOf(note)].join(' ')}\n`;
}

function valuesOf(note: StreamNote): readonly (string | number)[] {
  switch (note.kind) {
    case 'begun':
      return [JSON.stringify({ seed: note.seed, created: note.created, movable: note.isMovable })];
    case 'kv':
      return [JSON.stringify(note.params)];
    case 'resumed':
      return [note.numTokens];
    case 'tokens':
      return note.tokenIds;
    case 'failed':
      return [note.code];
    case 'done':
    case 'moved':
      return [];
  }
}

const count = z.int().min(0);
const name = z.string().min(1);

const begunSchema = z.object({ seed: z.number(), created: z.number(), movable: z.boolean() });

const offeredSchema = z.object({
  ...{ do_remote_prefill: z.literal(true), do_remote_decode: z.literal(false) },
  ...{ remote_engine_id: name, remote_request_id: name, remote_block_ids: z.array(count) },
  ...{ remote_host: hostField, remote_port: z.int().min(1).max(65_535), remote_tls: z.boolean() },
  ...{ tp_size: z.literal(1), lease_id: leaseIdField, lease_token: leaseTokenField, seed: z.number() },
}) satisfies z.ZodType<OfferedParams>;

/**
 * What the first line of a block says, without its end; null: it is no comment of these, and passed on like any.
 * @throws SyntaxError for one of these that is damaged
 */
export function noteOf(line: string): StreamNote | null {
  const [, kind = '', rest = ''] = /^: ?([a-z]+)(?: (.*))?$/s.exec(line) ?? [];
  switch (kind) {
    case 'begun': {
      const { seed, created, movable } = checked(kind, begunSchema, jsonOrUndefined(rest));
      return { kind, seed, created, isMovable: movable };
    }
    case 'kv':
      return { kind, params: checked(kind, offeredSchema, jsonOrUndefined(rest)) };
    case 'resumed':
      return { kind, numTokens: countOf(kind, rest) };
    case 'tokens':
      return { kind, tokenIds: rest === '' ? [] : rest.split(' ').map((each) => countOf(kind, each)) };
    case 'failed':
      return { kind, code: rest };
    case 'done':
    case 'moved':
      return { kind };
    default:
      return null;
  }
}

function checked<T>(kind: string, schema: z.ZodType<T>, value: unknown): T {
  const { success, data } = schema.safeParse(value);
  if (!success) throw damaged(kind);
  return data;
}

/** Of each token: without zod. */
function countOf(kind: string, digits: string): number {
  const value = Number(digits);
  if (digits === '' || !Number.isSafeInteger(value) || value < 0) throw damaged(kind);
  return value;
}

const damaged = (kind: string): SyntaxError => new SyntaxError(`the note '${kind}' of a stream is damaged`);
