/** What the client of a stream knows, and what of another instance's stream is new to it. No I/O. Why: docs/decisions/cluster.md#whoever-tells-it-the-client-hears-each-token-once */
import type { StreamNote } from '../../../server/cluster/stream_notes.js';
import type { OfferedParams } from '../../../server/cluster/transfer_params.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import type { Group } from './group_reader.js';

/** What other instances need to know besides the tokens. */
export type Begun = Pick<Extract<StreamNote, { kind: 'begun' }>, 'seed' | 'created' | 'isMovable'>;

/** How a stream ended, as it says itself. */
export type StreamEnd =
  | { readonly kind: 'done' }
  | { readonly kind: 'moved' }
  /** `bytes` tell the client so. */
  | { readonly kind: 'failed'; readonly code: string; readonly bytes: Buffer }
  /** It can't be gone on with. */
  | { readonly kind: 'broken'; readonly error: UpstreamError };

/** What some groups bring. */
export interface News {
  /** For the client. */
  readonly bytes: readonly Buffer[];
  /** Output tokens in them, as far as it is said. */
  readonly numTokens: number;
  /** There are events of which nothing is said. */
  readonly isPlain: boolean;
  /** Another instance may take the sequence over. */
  readonly offer: OfferedParams | null;
  /** Null: more comes. */
  readonly end: StreamEnd | null;
}

/** While they are looked at. */
interface Gathered {
  readonly bytes: Buffer[];
  numTokens: number;
  isPlain: boolean;
  offer: OfferedParams | null;
}

/** How far a stream is. */
export interface Telling {
  /** Output tokens before its next one. */
  position: number;
}

/** Of one client. */
export class Told {
  /** Output tokens that it has, or would have where it waits for all. */
  readonly tokenIds: number[] = [];
  /** Null: nothing was said yet. */
  begun: Begun | null = null;

  /** What is new in these groups of a stream, which gets ahead by it. What is in `bytes` counts as told. */
  take(groups: readonly Group[], telling: Telling): News {
    const news: Gathered = { bytes: [], numTokens: 0, isPlain: false, offer: null };
    for (const group of groups) {
      const end = this.takeOne(group, telling, news);
      if (end !== null) return { ...news, end };
    }
    return { ...news, end: null };
  }

  private takeOne({ note, bytes }: Group, telling: Telling, news: Gathered): StreamEnd | null {
    if (note === null) {
      news.isPlain = true;
      news.bytes.push(bytes);
      return null;
    }
    switch (note.kind) {
      case 'begun':
        this.begun ??= note;
        if (bytes.length > 0 && telling.position === 0 && this.tokenIds.length === 0) news.bytes.push(bytes);
        return null;
      case 'kv':
        news.offer = note.params;
        return null;
      case 'resumed':
        return null;
      case 'tokens':
        return this.hear(note.tokenIds, bytes, telling, news);
      case 'done':
        news.bytes.push(bytes);
        return { kind: 'done' };
      case 'moved':
        return { kind: 'moved' };
      case 'failed':
        return { kind: 'failed', code: note.code, bytes };
    }
  }

  /** These tokens are new, all or none of them; otherwise the stream can't be gone on with. */
  private hear(tokenIds: readonly number[], bytes: Buffer, telling: Telling, news: Gathered): StreamEnd | null {
    const before = telling.position;
    const numKnown = this.tokenIds.length;
    telling.position += tokenIds.length;
    // An end may come without a token: it is new behind all that is known.
    if (tokenIds.length === 0 ? before < numKnown : telling.position <= numKnown) return null;
    if (before !== numKnown) {
      const text = `a stream goes on at token ${before}, and its client knows ${numKnown}`;
      return { kind: 'broken', error: new UpstreamError('NOT_HTTP', text) };
    }
    this.tokenIds.push(...tokenIds);
    news.numTokens += tokenIds.length;
    news.bytes.push(bytes);
    return null;
  }
}
