/**
 * A stream of server-sent events, cut at the borders of events: what is passed on is whole, so that another instance can go on behind it.
 * Comments that instances write for routers are taken out. No I/O. Why: docs/decisions/cluster.md#comments-tell-the-router-what-events-hold
 */
import { UpstreamError } from '../upstream/upstream_error.js';

/** Whole events, and what comments said. */
export interface EventBatch {
  /** To be passed on: one or several events, or none. */
  readonly bytes: Buffer;
  /** Output tokens that these events tell. */
  readonly tokenIds: readonly number[];
  /** JSON: by it another instance can take over the sequence. */
  readonly lease: string | null;
  /** Output tokens that come before the first of this stream. */
  readonly resumedAt: number | null;
  /** The stream ends here, and another one goes on with it. */
  readonly isMoved: boolean;
}

/** Of one event: nobody has to hold more. */
const MAX_EVENT_BYTES = 16 * 2 ** 20;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const COLON = 0x3a;
const NOTHING = Buffer.alloc(0);

/** Cuts one stream. */
export class EventSplitter {
  /** Of an event that isn't whole yet. */
  private rest: Buffer = NOTHING;
  /** Told by comments before an event that isn't whole yet. */
  private readonly heldTokenIds: number[] = [];

  /** @param isOwn an instance of ours writes comments; those of others are passed on */
  constructor(private readonly isOwn: boolean) {}

  /** The events that are whole with this chunk. @throws UpstreamError NOT_HTTP where an event has no end */
  push(chunk: Buffer): EventBatch {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const end = endOfEvents(bytes);
    if (bytes.length - end > MAX_EVENT_BYTES) {
      throw new UpstreamError(
        'NOT_HTTP',
        `an event of its stream has more than ${MAX_EVENT_BYTES} bytes; ask for less`,
      );
    }
    this.rest = bytes.subarray(end);
    const whole = bytes.subarray(0, end);
    return this.isOwn ? this.peeled(whole) : { bytes: whole, ...NO_NOTES };
  }

  /** What is left when the stream has ended: no event, but its client may make something of it. */
  get remainder(): Buffer {
    return this.rest;
  }

  private peeled(whole: Buffer): EventBatch {
    const notes: Notes = { tokenIds: [], lease: null, resumedAt: null, isMoved: false };
    const kept: Buffer[] = [];
    let keptFrom = 0; // what is kept and not in `kept` yet
    let hasContent = false; // the event at hand
    const drop = (from: number, to: number): void => {
      if (from > keptFrom) kept.push(whole.subarray(keptFrom, from));
      keptFrom = to;
    };
    for (let start = 0; start < whole.length;) {
      const next = whole.indexOf(LINE_FEED, start) + 1;
      const isEmpty = next - start === 1 || (next - start === 2 && whole[start] === CARRIAGE_RETURN);
      if (isEmpty) {
        if (hasContent) notes.tokenIds.push(...this.heldTokenIds.splice(0));
        else drop(start, next);
        hasContent = false;
      } else if (whole[start] === COLON && this.takeNote(whole.toString('latin1', start + 1, next), notes))
        drop(start, next);
      else hasContent = true;
      start = next;
    }
    drop(whole.length, whole.length);
    return { bytes: kept.length === 1 ? kept[0]! : Buffer.concat(kept), ...notes };
  }

  /** Whether a comment is one for routers. */
  private takeNote(comment: string, notes: Notes): boolean {
    const [, name, value] = /^ (tokens|kv|resumed|moved)(?: (.*?))?\r?\n$/.exec(comment) ?? [];
    if (name === undefined) return false;
    switch (name as 'tokens' | 'kv' | 'resumed' | 'moved') {
      case 'tokens':
        this.heldTokenIds.push(...(value ?? '').split(' ').map(Number));
        return true;
      case 'kv':
        notes.lease = value ?? '';
        return true;
      case 'resumed':
        notes.resumedAt = Number(value);
        return true;
      case 'moved':
        notes.isMoved = true;
        return true;
    }
  }
}

interface Notes {
  readonly tokenIds: number[];
  lease: string | null;
  resumedAt: number | null;
  isMoved: boolean;
}

const NO_NOTES = { tokenIds: [], lease: null, resumedAt: null, isMoved: false } as const;

/** Where the last whole event ends: behind an empty line, whichever way lines end. */
function endOfEvents(bytes: Buffer): number {
  for (let at = bytes.length; at > 0;) {
    at = bytes.lastIndexOf(LINE_FEED, at - 1);
    if (at < 1) return 0;
    const before = bytes[at - 1] === CARRIAGE_RETURN ? at - 2 : at - 1;
    if (bytes[before] === LINE_FEED) return at + 1;
  }
  return 0;
}
