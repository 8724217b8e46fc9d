/** One instance's part in answering a request. */
import type { SentRequest } from '../../routing/sent_request.js';
import type { AnswerHeaders, UpstreamAnswer, UpstreamRequest } from '../upstream/upstream_client.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import type { Upstream } from '../upstream/upstream.js';
import { EventSplitter } from './event_splitter.js';
import { GroupReader, type Group } from './group_reader.js';

/** What a leg is asked. */
export interface LegRequest {
  readonly request: UpstreamRequest;
  /** Its stream has comments for a router. */
  readonly hasNotes: boolean;
  /** Output tokens before the first that its stream tells. */
  readonly position: number;
}

/** A whole answer is passed on when it is there, so that another instance can give it where this one breaks off; longer ones come piece by piece. */
const MAX_WHOLE_BYTES = 2 ** 20;

/** From its request on. */
export class Leg {
  /** Its head. Rejects with UpstreamError, and what {@link leave} was told. */
  readonly answer: Promise<UpstreamAnswer>;
  /** Output tokens before the next that its stream tells. */
  position: number;
  /** Its answer tells events, as far as its head is there. */
  isStream = false;
  private readonly controller = new AbortController();
  private reader: ((answer: UpstreamAnswer) => Promise<readonly Group[] | null>) | null = null;

  constructor(
    readonly upstream: Upstream,
    /** Counts it among what runs at the instance; null: it doesn't count. */
    readonly sent: SentRequest | null,
    private readonly asked: LegRequest,
  ) {
    this.position = asked.position;
    this.answer = upstream.ask(asked.request, this.controller).then((answer) => {
      this.isStream = hasEvents(answer.headers);
      return answer;
    });
    this.answer.catch(() => undefined); // who waits is told
  }

  /** Of the instance. */
  get id(): string {
    return this.upstream.id;
  }

  /** Its stream says what it tells. */
  get hasNotes(): boolean {
    return this.asked.hasNotes;
  }

  /** Output tokens that it told. */
  get numTokens(): number {
    return this.position - this.asked.position;
  }

  /** Nobody wants more of it. Idempotent. */
  leave(reason: Error = LEFT): void {
    this.controller.abort(reason);
  }

  /** What comes next; null: the answer is over. @throws UpstreamError, and what {@link leave} was told */
  async read(): Promise<readonly Group[] | null> {
    const answer = await this.answer;
    this.reader ??= readerFor(answer.headers, this.asked.hasNotes);
    return this.reader(answer);
  }
}

const LEFT = new UpstreamError('BROKEN_OFF', 'nobody waits for the answer');

/** The answer tells events. */
export const hasEvents = (headers: AnswerHeaders): boolean =>
  /^text\/event-stream\b/.test(String(headers['content-type']));

type Reader = (answer: UpstreamAnswer) => Promise<readonly Group[] | null>;

function readerFor(headers: AnswerHeaders, hasNotes: boolean): Reader {
  if (!hasEvents(headers)) return readWhole;
  return hasNotes ? groupsReader() : eventsReader();
}

const plain = (bytes: Buffer): readonly Group[] => [{ note: null, bytes }];

async function readWhole(answer: UpstreamAnswer): Promise<readonly Group[] | null> {
  const chunks: Buffer[] = [];
  let numBytes = 0;
  while (numBytes < MAX_WHOLE_BYTES) {
    const chunk = await answer.read();
    if (chunk === null) break;
    chunks.push(chunk);
    numBytes += chunk.length;
  }
  return chunks.length === 0 ? null : plain(Buffer.concat(chunks));
}

function eventsReader(): Reader {
  const splitter = new EventSplitter();
  let isOver = false;
  return async (answer) => {
    const chunk = isOver ? null : await answer.read();
    if (chunk !== null) return plain(splitter.push(chunk));
    if (isOver) return null;
    isOver = true;
    return plain(splitter.remainder);
  };
}

/** Ends with a group that says so. */
function groupsReader(): Reader {
  const reader = new GroupReader();
  return async (answer) => {
    const chunk = await answer.read();
    if (chunk === null) throw new UpstreamError('BROKEN_OFF', 'a stream ended without saying so');
    return reader.push(chunk);
  };
}
