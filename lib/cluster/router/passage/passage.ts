/** One request on its way: to an instance, and its answer back. Why: docs/decisions/cluster.md#bytes-are-passed-on-as-they-come */
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { ExpertwireConfig } from '../../../config/schema.js';
import { ApiError } from '../../../server/base/api_error.js';
import { clientSignal } from '../../../server/http/client_signal.js';
import { dataFrame } from '../../../server/http/event_stream.js';
import { ReplyStream } from '../../../server/http/reply_stream.js';
import type { Instances } from '../upstream/instances.js';
import type { UpstreamAnswer, UpstreamRequest } from '../upstream/upstream_client.js';
import { UpstreamError } from '../upstream/upstream_error.js';
import type { Upstream } from '../upstream/upstream.js';
import { EventSplitter } from './event_splitter.js';
import { answerHeaders, requestHeaders } from './passed_headers.js';

/** What passing requests on takes. */
export interface PassageParts {
  readonly instances: Instances;
  readonly limits: Pick<ExpertwireConfig['server'], 'max_unread_bytes' | 'slow_reader_timeout_ms'>;
  /** Further instances that a request is sent to where one fails before its answer begins. */
  readonly retries: number;
  /** Aborted when whatever still runs is broken off, with what clients are told. */
  readonly ending: AbortSignal;
}

/** Statuses of instances that took nothing: another one may. Why: docs/decisions/cluster.md#what-an-instance-refused-another-one-may-take */
const ELSEWHERE: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** Passes one request on. @throws ApiError as long as nothing was sent to the client */
export async function passOn(request: FastifyRequest, reply: FastifyReply, parts: PassageParts): Promise<void> {
  const signal = clientSignal(reply, parts.ending);
  const asked: UpstreamRequest = {
    method: request.method,
    path: request.url,
    headers: requestHeaders(request.headers, request.id),
    body: (request.body as Buffer | undefined) ?? null,
  };
  const { answer, upstream } = await firstAnswer(asked, signal, parts);
  const { status } = answer;
  const headers = answerHeaders(answer.headers);
  const stream = new ReplyStream(reply, parts.limits, { status, headers });
  try {
    const isEvents = /^text\/event-stream\b/.test(String(answer.headers['content-type'] ?? ''));
    await (isEvents ? passEvents(answer, stream) : passBytes(answer, stream));
    stream.end();
  } catch (thrown) {
    breakOff(thrown, { signal, stream, reply, upstream });
  }
}

interface FirstAnswer {
  readonly upstream: Upstream;
  readonly answer: UpstreamAnswer;
}

/** Asks one instance after the other until one takes the request. */
async function firstAnswer(asked: UpstreamRequest, signal: AbortSignal, parts: PassageParts): Promise<FirstAnswer> {
  const { instances, retries } = parts;
  const tried = new Set<Upstream>();
  let refused: (FirstAnswer & { readonly leave: () => void }) | null = null;
  let failure: UpstreamError | null = null;
  for (;;) {
    const upstream = tried.size <= retries ? instances.choose(tried) : null;
    if (upstream === null) break;
    refused?.leave(); // nobody reads it
    tried.add(upstream);
    const attempt = new AbortController();
    try {
      const answer = await upstream.client.ask(asked, AbortSignal.any([signal, attempt.signal]));
      if (!ELSEWHERE.has(answer.status)) return { answer, upstream };
      refused = { answer, upstream, leave: () => attempt.abort() };
    } catch (thrown) {
      if (!(thrown instanceof UpstreamError) || signal.aborted) throw thrown;
      refused = null;
      failure = thrown;
    }
  }
  if (refused !== null) return refused;
  throw noInstance(failure);
}

async function passBytes(answer: UpstreamAnswer, stream: ReplyStream): Promise<void> {
  for (let bytes = await answer.read(); bytes !== null; bytes = await answer.read()) {
    if (!(await stream.send(bytes))) return;
  }
}

async function passEvents(answer: UpstreamAnswer, stream: ReplyStream): Promise<void> {
  const splitter = new EventSplitter(false);
  for (let bytes = await answer.read(); bytes !== null; bytes = await answer.read()) {
    if (!(await stream.send(splitter.push(bytes).bytes))) return;
  }
  await stream.send(splitter.remainder);
}

interface BrokenOff {
  readonly signal: AbortSignal;
  readonly stream: ReplyStream;
  readonly reply: FastifyReply;
  readonly upstream: Upstream;
}

function breakOff(thrown: unknown, { signal, stream, reply, upstream }: BrokenOff): void {
  if (reply.raw.destroyed) return;
  const error = toldOf(thrown, signal, upstream);
  reply.log.warn({ err: thrown, instance: upstream.id }, 'an answer was broken off');
  const isEvents = /^text\/event-stream\b/.test(String(reply.raw.getHeader('content-type') ?? ''));
  if (!isEvents) {
    reply.raw.destroy(); // what is cut off must not look whole
    return;
  }
  void stream.send(dataFrame(error.body));
  stream.end();
}

function toldOf(thrown: unknown, { reason }: AbortSignal, { id }: Upstream): ApiError {
  if (reason instanceof ApiError) return reason;
  return new ApiError('INSTANCE_FAILED', `instance ${id} broke off its answer; send the request again`, {
    cause: thrown,
  });
}

function noInstance(cause: UpstreamError | null): ApiError {
  const why = cause === null ? 'no instance is there' : 'no instance answers';
  return new ApiError('NO_INSTANCE', `${why}; try again later`, { cause });
}
