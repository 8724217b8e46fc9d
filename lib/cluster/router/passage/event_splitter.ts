/** A stream of server-sent events, cut at the borders of events: what is passed on is whole, and something may be said behind it. No I/O. */
import { UpstreamError } from '../upstream/upstream_error.js';

/** Of what has no end yet: nobody has to hold more. */
export const MAX_HELD_BYTES = 16 * 2 ** 20;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const NOTHING = Buffer.alloc(0);

/** Cuts one stream. */
export class EventSplitter {
  /** Of an event that isn't whole yet. */
  private rest: Buffer = NOTHING;

  /** The events that are whole with this chunk, one behind the other. @throws UpstreamError NOT_HTTP where an event has no end */
  push(chunk: Buffer): Buffer {
    const bytes = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
    const end = endOfEvents(bytes);
    if (bytes.length - end > MAX_HELD_BYTES) throw endlessEvent();
    this.rest = bytes.subarray(end);
    return bytes.subarray(0, end);
  }

  /** What is left when the stream has ended: no event, but its client may make something of it. */
  get remainder(): Buffer {
    return this.rest;
  }
}

/** What came of a stream is longer than {@link MAX_HELD_BYTES}, and not whole. */
export const endlessEvent = (): UpstreamError =>
  new UpstreamError('NOT_HTTP', `an event of a stream has more than ${MAX_HELD_BYTES} bytes; ask for less`);

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
