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
  /** Output tokens of a whole answer; null: it isn't there, or doesn't say. */
  numWhole: number | null = null;
  /** Its answer tells events, as far as its head is there. */
  isStream = false;
  private readonly controller = new AbortController();
  private reader: Reader | null = null;
  private isPlain = false;

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

  /** Its stream says what it tells: the instance takes the router for one. */
  get hasNotes(): boolean {
    return this.asked.hasNotes && !this.isPlain;
  }

  /** Output tokens that its stream told, as far as it says. */
  get numTokens(): number {
    return this.position - this.asked.position;
  }

  /** Output tokens that came of it; null: nobody knows. */
  get numOutputTokens(): number | null {
    return this.isStream && this.hasNotes && this.numTokens > 0 ? this.numTokens : this.numWhole;
  }

  /** Nobody wants more of it. Idempotent. */
  leave(reason: Error = LEFT): void {
    this.controller.abort(reason);
  }

  /** It said its last word: its connection is used again when the end of its answer is there, too. Idempotent. */
  letEnd(): void {
    const timer = setTimeout(() => this.leave(), END_TIMEOUT_MS);
    void this.answer
      .then((answer) => answer.ended)
      .catch(() => undefined)
      .then(() => clearTimeout(timer));
  }

  /** What comes next; null: the answer is over. @throws UpstreamError, and what {@link leave} was told */
  async read(): Promise<readonly Group[] | null> {
    const answer = await this.answer;
    this.reader ??= this.readerFor(answer.headers);
    return this.reader(answer);
  }

  private readerFor(headers: AnswerHeaders): Reader {
    if (!hasEvents(headers)) return readWhole;
    if (!this.asked.hasNotes) return eventsReader();
    return groupsReader(() => (this.isPlain = true));
  }
}

/** Between the last word of an answer and its end. */
const END_TIMEOUT_MS = 1000;

const LEFT = new UpstreamError('BROKEN_OFF', 'nobody waits for the answer');

/** The answer tells events. */
export const hasEvents = (headers: AnswerHeaders): boolean =>
  /^text\/event-stream\b/.test(String(headers['content-type']));

type Reader = (answer: UpstreamAnswer) => Promise<readonly Group[] | null>;

const COLON = 0x3a;

const plainGroup = (bytes: Buffer): readonly Group[] => [{ note: null, bytes }];

async function readWhole(answer: UpstreamAnswer): Promise<readonly Group[] | null> {
  const chunks: Buffer[] = [];
  let numBytes = 0;
  while (numBytes < MAX_WHOLE_BYTES) {
    const chunk = await answer.read();
    if (chunk === null) break;
    chunks.push(chunk);
    numBytes += chunk.length;
  }
  return chunks.length === 0 ? null : plainGroup(Buffer.concat(chunks));
}

/** @param first what was read already */
function eventsReader(first: Buffer | null = null): Reader {
  const splitter = new EventSplitter();
  let isOver = false;
  let read = first;
  return async (answer) => {
    const chunk = read ?? (isOver ? null : await answer.read());
    read = null;
    if (chunk !== null) return plainGroup(splitter.push(chunk));
    if (isOver) return null;
    isOver = true;
    return plainGroup(splitter.remainder);
  };
}

/** Ends with a group that says so. `plain`: told where the instance says nothing to routers: it doesn't know this one. */
function groupsReader(plain: () => void): Reader {
  const reader = new GroupReader();
  let other: Reader | null = null;
  let isFirst = true;
  return async (answer) => {
    if (other !== null) return other(answer);
    const chunk = await answer.read();
    if (chunk === null) throw new UpstreamError('BROKEN_OFF', 'a stream ended without saying so');
    if (isFirst && chunk[0] !== COLON) {
      plain();
      other = eventsReader(chunk);
      return other(answer);
    }
    isFirst = false;
    return reader.push(chunk);
  };
}
