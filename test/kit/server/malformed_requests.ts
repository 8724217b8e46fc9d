/** Requests that are wrong in one way or another, as bytes on a connection: each must be answered with 4xx. */

/** A number in [0, 1). */
type Random = () => number;

export const randomInteger = (random: Random, below: number): number => Math.floor(random() * below);
export const pick = <T>(random: Random, values: readonly T[]): T => values[randomInteger(random, values.length)]!;

/** Printable characters, no spaces: nothing that ends a line. */
const word = (random: Random, length: number): string =>
  Array.from({ length }, () => String.fromCharCode(0x21 + randomInteger(random, 94))).join('');
const letters = (random: Random, length: number): string =>
  Array.from({ length }, () => String.fromCharCode(0x61 + randomInteger(random, 26))).join('');

const PATHS = ['/v1/completions', '/v1/chat/completions', '/v1/responses', '/tokenize', '/detokenize'];
const VALID: Readonly<Record<string, object>> = {
  '/v1/completions': { prompt: 'Call me' },
  '/v1/chat/completions': { messages: [{ role: 'user', content: 'Call me' }] },
  '/v1/responses': { input: 'Call me' },
  '/tokenize': { prompt: 'Call me' },
  '/detokenize': { tokens: [1, 2, 3] },
};

const HOST = 'host: localhost\r\nconnection: close\r\n';

function post(path: string, body: string, headers = 'content-type: application/json\r\n'): string {
  return `POST ${path} HTTP/1.1\r\n${HOST}${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\n${HOST}${headers}\r\n`;

/** Values that a field that takes none of them can be given. */
const WRONG_VALUES = [{}, [[]], 'much', true, -2.5, 1e300, [null]];
const NUMBER_FIELDS = ['temperature', 'top_p', 'min_p', 'presence_penalty', 'frequency_penalty', 'repetition_penalty'];

function wrongField(random: Random): string {
  const path = pick(random, PATHS.slice(0, 3));
  const value = pick(random, WRONG_VALUES);
  const field = pick(
    random,
    typeof value === 'boolean' || path === '/v1/responses' ? NUMBER_FIELDS : [...NUMBER_FIELDS, 'seed', 'n'],
  );
  return post(path, JSON.stringify({ ...VALID[path], [field]: value }));
}

/** A body of JSON without its end is none. */
function cutBody(random: Random): string {
  const path = pick(random, PATHS);
  const body = JSON.stringify(VALID[path]);
  return post(path, body.slice(0, 1 + randomInteger(random, body.length - 1)));
}

/** Each way to be wrong. The first word of its name says with what. */
export const WAYS: Readonly<Record<string, (random: Random) => string>> = {
  'garbage instead of a request': (random) => `${word(random, 1 + randomInteger(random, 200))}\r\n\r\n`,
  'a method that there is not': (random) => `${letters(random, 5).toUpperCase()}X /health HTTP/1.1\r\n${HOST}\r\n`,
  'a version that there is not': (random) => `GET /health HTTP/${2 + randomInteger(random, 7)}.7\r\n${HOST}\r\n`,
  'a header without a colon': (random) => get('/health', `${letters(random, 9)}\r\n`),
  'a header with a control character': (random) =>
    get('/health', `x: a${String.fromCharCode(randomInteger(random, 9))}b\r\n`),
  'headers without end': (random) => get('/health', `x: ${'y'.repeat(16_384 + randomInteger(random, 50_000))}\r\n`),
  'a long URL': (random) => get(`/health?${letters(random, 2048 + randomInteger(random, 4000))}`),
  'a URL with broken escapes': (random) => get(`/${letters(random, 3)}%${pick(random, ['', '%', 'g', 'zz', '1'])}`),
  'a path that there is not': (random) => get(`/${letters(random, 1 + randomInteger(random, 30))}`),
  'a method that the path does not have': (random) => get(pick(random, PATHS)),
  'a model that there is not': (random) =>
    post('/v1/completions', JSON.stringify({ prompt: 'x', model: letters(random, 5) })),
  'another type of body': (random) =>
    post(pick(random, PATHS), 'x=1', `content-type: ${letters(random, 4)}/${letters(random, 4)}\r\n`),
  'no type of body': (random) => post(pick(random, PATHS), 'x', ''),
  'JSON without its end': cutBody,
  'JSON of another form': (random) =>
    post(pick(random, PATHS), pick(random, ['[]', '"x"', '5', 'null', 'true', '{}', ''])),
  'bytes instead of JSON': (random) =>
    post(pick(random, PATHS), word(random, 1 + randomInteger(random, 100)).replace(/^\{/, 'x')),
  'JSON that is nested without end': (random) =>
    post(pick(random, PATHS), '[{"a":'.repeat(1000 + randomInteger(random, 50_000))),
  'a prototype in JSON': (random) => post(pick(random, PATHS), '{"__proto__": {"prompt": "x"}, "prompt": "x"}'),
  'a field of another type': wrongField,
  'a long body': (random) =>
    post(pick(random, PATHS), JSON.stringify({ prompt: 'x'.repeat(70_000 + randomInteger(random, 50_000)) })),
  'a length that is none': (random) =>
    `POST /v1/completions HTTP/1.1\r\n${HOST}content-type: application/json\r\ncontent-length: ${pick(random, ['-1', 'x', '1e3', '99999999999999999999999'])}\r\n\r\n{}`,
  'two lengths': () =>
    `POST /v1/completions HTTP/1.1\r\n${HOST}content-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}`,
  'a length and chunks': () =>
    `POST /v1/completions HTTP/1.1\r\n${HOST}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunks that are none': (random) =>
    `POST /v1/completions HTTP/1.1\r\n${HOST}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${pick(random, ['zz\r\n{}\r\n', '-1\r\n', 'fffffffffffffffff\r\n{}', '5\r\n{}\r\n0'])}`,
  'another host': (random) =>
    `GET /health HTTP/1.1\r\nhost: ${letters(random, 6)}.example\r\nconnection: close\r\n\r\n`,
  'no host': () => 'GET /health HTTP/1.1\r\nconnection: close\r\n\r\n',
  'another origin': (random) => get('/health', `origin: https://${letters(random, 6)}.example\r\n`),
  'a request without its end': (random) => {
    const whole = post('/v1/completions', JSON.stringify(VALID['/v1/completions']));
    return whole.slice(0, 1 + randomInteger(random, whole.length - 1));
  },
};
