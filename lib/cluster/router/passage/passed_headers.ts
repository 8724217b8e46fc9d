/** Which headers go on, and which are of one connection alone. Pure. */
import type { IncomingHttpHeaders } from 'node:http';
import type { AnswerHeaders } from '../upstream/upstream_client.js';

type Headers = Readonly<Record<string, string | string[]>>;

/** Of a connection (RFC 9110 §7.6.1), or written anew. */
const OF_CONNECTION: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'expect'],
  ...['proxy-authenticate', 'proxy-authorization'],
]);

const OF_REQUEST: ReadonlySet<string> = new Set(['host', 'content-length', 'accept-encoding', 'x-request-id']);
/** What only a router says to an instance. */
const ROUTERS = 'x-expertwire-';
/** What browsers may do is said by who they call. */
const CORS = 'access-control-';

/** Headers of a client's request as an instance gets them. Answers are asked for as they are, since their events are looked at. */
export function requestHeaders(given: IncomingHttpHeaders, requestId: string): Record<string, string | string[]> {
  const passed = passedOn(given, (name) => !OF_REQUEST.has(name) && !name.startsWith(ROUTERS));
  return { ...passed, 'accept-encoding': 'identity', 'x-request-id': requestId };
}

/** Headers of an instance's answer as its client gets them, besides those that the router writes. */
export const answerHeaders = (given: AnswerHeaders): Headers =>
  passedOn(given, (name) => name !== 'x-request-id' && !name.startsWith(CORS));

function passedOn(given: AnswerHeaders, isPassed: (name: string) => boolean): Headers {
  const named = new Set(
    [given.connection ?? []].flat().flatMap((value) => value.split(',').map((each) => each.trim().toLowerCase())),
  );
  const passed: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined && !OF_CONNECTION.has(name) && !named.has(name) && isPassed(name)) passed[name] = value;
  }
  return passed;
}
