/**
 * The stream of an instance of ours: events, and comments that say what they hold. Comments are taken out. No I/O.
 * Why: docs/decisions/cluster.md#comments-tell-the-router-what-events-hold
 */
import { noteOf, OPENING_LINE, type StreamNote } from '../../../server/cluster/stream_notes.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import { endlessEvent, MAX_HELD_BYTES } from './event_splitter.js';

/** Events that are passed on together or not at all. */
export interface Group {
  /** What they are; null: nothing is known of them. */
  readonly note: StreamNote | null;
  /** As the client gets them. */
  readonly bytes: Buffer;
}

const LINE_FEED = 0x0a;
const COLON = 0x3a;
const OPENING = Buffer.from(OPENING_LINE);
const BLOCK_END = Buffer.from('\n\n');
const NOTHING = Buffer.alloc(0);

/** Cuts one stream into groups: events without a comment belong to the next one that has one, unless the request can't move. */
export class GroupReader {
  /** Nothing is said of what events hold: each is passed on as it comes. */
  private isPlain = false;
  /** Of the group that isn't whole yet. */
  private rest: Buffer = NOTHING;
  /** Of them, those that are known to have no comment. */
  private numPlain = 0;

  /** The groups that are whole with this chunk. @throws UpstreamError NOT_HTTP where one has no end, or a damaged note */
  push(chunk: Buffer): readonly Group[] {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const groups: Group[] = [];
    let from = 0; // of the group
    let start = this.numPlain; // of the block
    for (let end = endOf(bytes, start); end > 0; end = endOf(bytes, start)) {
      const group = bytes[start] === COLON ? groupOf(bytes, from, start, end) : null;
      start = end;
      if (group?.note?.kind === 'begun') this.isPlain = !group.note.isMovable;
      if (group === null && !this.isPlain) continue;
      groups.push(group ?? { note: null, bytes: bytes.subarray(from, end) });
      from = end;
    }
    this.rest = from === 0 ? bytes : bytes.subarray(from);
    this.numPlain = start - from;
    if (this.rest.length > MAX_HELD_BYTES) throw endlessEvent();
    return groups;
  }
}

/** Where the block ends that begins at `start`; 0: it isn't whole. */
function endOf(bytes: Buffer, start: number): number {
  const at = bytes.indexOf(BLOCK_END, start);
  return at < 0 ? 0 : at + BLOCK_END.length;
}

/** @throws UpstreamError NOT_HTTP for a damaged one: who sends it isn't to be trusted with the rest */
function readNote(line: string): StreamNote | null {
  try {
    return noteOf(line);
  } catch (cause) {
    throw new UpstreamError('NOT_HTTP', (cause as SyntaxError).message, { cause });
  }
}

/** Null: the block's first line is nobody's comment of ours. */
function groupOf(bytes: Buffer, from: number, start: number, end: number): Group | null {
  const lineEnd = bytes.indexOf(LINE_FEED, start);
  const note = readNote(bytes.toString('utf8', start, lineEnd));
  if (note === null) return null;
  const plain = withoutOpening(bytes.subarray(from, start));
  const told = bytes.subarray(Math.min(lineEnd + 1, end), end);
  if (told.length <= 1) return { note, bytes: plain }; // a comment alone
  return { note, bytes: plain.length === 0 ? told : Buffer.concat([plain, told]) };
}

/** Only a router needs the line. */
const withoutOpening = (plain: Buffer): Buffer =>
  plain.subarray(0, OPENING.length).equals(OPENING) ? plain.subarray(OPENING.length) : plain;
