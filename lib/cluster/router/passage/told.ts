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
  | { readonly kind: 'failed'; readonly code: string; readonly bytes: Buffer };

/** What some groups bring. */
export interface News {
  /** For the client. */
  readonly bytes: readonly Buffer[];
  /** Output tokens in them. */
  readonly numTokens: number;
  /** Another instance may take the sequence over. */
  readonly offer: OfferedParams | null;
  /** Null: more comes. */
  readonly end: StreamEnd | null;
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

  /** What is new in these groups of a stream, which gets ahead by it. @throws UpstreamError NOT_HTTP for a stream that leaves tokens out */
  take(groups: readonly Group[], telling: Telling): News {
    const bytes: Buffer[] = [];
    let numTokens = 0;
    let offer: OfferedParams | null = null;
    for (const { note, bytes: told } of groups) {
      switch (note?.kind) {
        case undefined:
          bytes.push(told);
          break;
        case 'begun':
          this.begun ??= note as Begun;
          if (telling.position === 0 && this.tokenIds.length === 0) bytes.push(told);
          break;
        case 'kv':
          offer = note.params;
          break;
        case 'resumed':
          break;
        case 'tokens': {
          const { tokenIds } = note;
          if (!this.hear(tokenIds, telling)) break;
          numTokens += tokenIds.length;
          bytes.push(told);
          break;
        }
        case 'done':
          bytes.push(told);
          return { bytes, numTokens, offer, end: { kind: 'done' } };
        case 'moved':
          return { bytes, numTokens, offer, end: { kind: 'moved' } };
        case 'failed': {
          const { code } = note;
          return { bytes, numTokens, offer, end: { kind: 'failed', code, bytes: told } };
        }
      }
    }
    return { bytes, numTokens, offer, end: null };
  }

  /** Whether these tokens are new: all or none of them. */
  private hear(tokenIds: readonly number[], telling: Telling): boolean {
    const before = telling.position;
    telling.position += tokenIds.length;
    if (telling.position <= this.tokenIds.length) return false;
    if (before !== this.tokenIds.length) {
      const text = `a stream goes on at token ${before}, and its client knows ${this.tokenIds.length}`;
      throw new UpstreamError('NOT_HTTP', text);
    }
    this.tokenIds.push(...tokenIds);
    return true;
  }
}
