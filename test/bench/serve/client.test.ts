import { expect } from 'chai';
import { AnswerStream } from '../../../bench/serve/client/answer_stream.js';
import { OpenAiClient } from '../../../bench/serve/client/openai_client.js';
import type { Exchange, FailureKind } from '../../../bench/serve/client/outcome.js';
import { requestBody } from '../../../bench/serve/client/request_body.js';
import { withPlayedServer, type Part } from '../../kit/serve/played_server.js';

const BODY = {
  endpoint: 'completions',
  model: 'm',
  temperature: 0,
  ignoreEos: true,
  wantsTokenIds: false,
  extra: {},
} as const;
const ask = requestBody({ kind: 'tokens', tokenIds: Int32Array.of(70, 71) }, 3, BODY);

/** What a request comes to that gets this part. */
async function exchangeOf(
  part: Part,
  timeoutMs = 60_000,
  endpoint: 'completions' | 'chat' = 'completions',
): Promise<Exchange> {
  return withPlayedServer(
    () => part,
    async ({ url }) => {
      const client = new OpenAiClient({ url: new URL(url), endpoint, timeoutMs, keepsText: true });
      try {
        const body = endpoint === 'chat' ? requestBody({ kind: 'messages', messages: [{ role: 'user', content: 'a b' }] }, 3, { ...BODY, endpoint }) : ask; // prettier-ignore
        return await client.complete(body);
      } finally {
        client.close();
      }
    },
  );
}

/** Feeds one answer in pieces at known times. */
function streamOf(...pieces: readonly (readonly [text: string, atMs: number])[]) {
  const stream = new AnswerStream(true);
  for (const [text, atMs] of pieces) stream.feed(text, atMs);
  return stream.end();
}
const event = (value: object): string => `data: ${JSON.stringify(value)}\n\n`;
const text = (piece: string, more: object = {}): string => event({ choices: [{ text: piece, ...more }] });
const DONE = 'data: [DONE]\n\n';

describe('the answer stream of bench serve', () => {
  it('chunks with tokens have the time at which they arrived; events of one piece share it', () => {
    const { answer } = streamOf(
      [text('a'), 10],
      [text('b') + text('c'), 25],
      [text('', { finish_reason: 'length' }) + DONE, 26],
    );
    expect(answer!.chunkMs).to.deep.equal([10, 25, 25]);
    expect(answer!.text).to.equal('abc');
  });

  it('an event that arrives in parts counts when it is whole, wherever it is cut', () => {
    const whole = text('ä', { token_ids: [9] }) + DONE;
    for (let cut = 1; cut < whole.length; cut++) {
      const { answer } = streamOf([whole.slice(0, cut), 1], [whole.slice(cut), 2]);
      expect(answer!.text).to.equal('ä');
      expect(answer!.tokenIds).to.deep.equal([9]);
      expect(answer!.chunkMs).to.deep.equal([cut < whole.length - DONE.length ? 2 : 1]);
    }
  });

  it('an empty text in the middle is a token; a role, an end and usage alone are none', () => {
    const usage = { prompt_tokens: 4, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 3 } };
    const { answer } = streamOf(
      [event({ choices: [{ delta: { role: 'assistant', content: '' } }] }), 1],
      [': a comment\n\n', 2],
      [event({ choices: [{ delta: { content: '' }, finish_reason: null }] }), 3],
      [event({ choices: [{ delta: { content: 'x' } }] }), 4],
      [event({ choices: [{ delta: {}, finish_reason: 'stop' }] }), 5],
      [event({ choices: [], usage }), 6],
      [DONE, 7],
    );
    expect(answer!.chunkMs).to.deep.equal([3, 4]);
    expect(answer!.usage).to.deep.equal({ promptTokens: 4, completionTokens: 2, cachedTokens: 3 });
    expect(streamOf([text('x', { finish_reason: 'length' }), 1], [DONE, 2]).answer!.chunkMs).to.deep.equal([1]);
  });

  it('thinking and calls of tools are tokens too', () => {
    const deltas = [{ reasoning_content: 'hm' }, { reasoning: 'hm' }, { tool_calls: [{}] }];
    const pieces = deltas.map((delta, i) => [event({ choices: [{ delta }] }), i] as const);
    expect(streamOf(...pieces, [DONE, 9]).answer!.chunkMs).to.deep.equal([0, 1, 2]);
  });

  it('a lone token that shows no text counts when the answer ends; no token at all is a failure', () => {
    const end = text('', { finish_reason: 'stop' });
    const usage = (completion_tokens: number): string =>
      event({ choices: [], usage: { prompt_tokens: 1, completion_tokens } });
    expect(streamOf([end, 5], [usage(1) + DONE, 6]).answer!.chunkMs).to.deep.equal([5]);
    expect(streamOf([end, 5], [usage(0) + DONE, 6]).failure!.kind).to.equal('empty');
    expect(streamOf([DONE, 6]).failure!.kind).to.equal('empty');
  });

  it('what is no event of an answer is malformed, at once, and without limit nothing is held', () => {
    for (const data of ['{', '[]', '3', '{"choices": [{"text": 3}]}', '{"usage": {"prompt_tokens": -1}}']) {
      const stream = new AnswerStream(false);
      expect(stream.feed(`data: ${data}\n\n`, 1)!.kind).to.equal('malformed');
      expect(stream.end().failure!.reason).to.match(/is no chunk of an answer/);
    }
    const stream = new AnswerStream(false);
    const piece = 'x'.repeat(2 ** 20);
    let failure = stream.feed('data: ', 1);
    for (let i = 0; i < 8 && failure === null; i++) failure = stream.feed(piece, 1);
    expect(failure!.reason).to.match(/an event has over 4194304 characters/);
    expect(stream.feed(piece, 1)).to.equal(failure);
  });

  it('an end mark without its empty line is an end mark', () => {
    expect(streamOf([text('a'), 1], ['data: [DONE]\n', 2]).answer!.chunkMs).to.deep.equal([1]);
  });
});

describe('the client of bench serve', () => {
  it('measures what a server does: first token and gaps by the delays that are played', async () => {
    const { answer, startMs, endMs } = await exchangeOf({ kind: 'stream', chunks: ['a', 'b', 'c'], gapMs: 60 });
    const gaps = answer!.chunkMs.map((ms, i) => ms - (answer!.chunkMs[i - 1] ?? startMs));
    // A timer fires a millisecond early at most; how late is the machine's affair.
    for (const gap of gaps) expect(gap).to.be.at.least(58);
    expect(endMs).to.be.at.least(answer!.chunkMs[2]!);
    expect([answer!.text, answer!.usage]).to.deep.equal(['abc', { promptTokens: 2, completionTokens: 3, cachedTokens: null }]); // prettier-ignore
  });

  it('a chat’s first chunk, which names the role, is no first token', async () => {
    const { answer, startMs } = await exchangeOf({ kind: 'stream', chunks: ['a'], gapMs: 80 }, 60_000, 'chat');
    expect(answer!.chunkMs).to.have.length(1);
    expect(answer!.chunkMs[0]! - startMs).to.be.at.least(78);
  });

  it('tells every way to fail by its kind and reason', async () => {
    const cases: [Part, FailureKind, RegExp][] = [
      [{ kind: 'status', status: 429, message: 'the queue is full' }, 'http', /^429 the queue is full$/],
      [{ kind: 'status', status: 503, message: 'draining' }, 'http', /^503 draining$/],
      [{ kind: 'error event', message: 'a rank was lost' }, 'error event', /^a rank was lost$/],
      [{ kind: 'cut', after: 0 }, 'connection', /./],
      [{ kind: 'cut', after: 2 }, 'cut', /aborted/],
      [{ kind: 'unfinished' }, 'cut', /without \[DONE\], after 1 chunks/],
      [{ kind: 'raw', type: 'application/json', text: '{}' }, 'malformed', /application\/json, not text\/event-stream/],
      [{ kind: 'raw', type: 'text/event-stream', text: 'data: {\n\n' }, 'malformed', /"\{" is no chunk/],
      [{ kind: 'raw', type: 'text/event-stream', text: DONE }, 'empty', /no token/],
    ];
    for (const [part, kind, reason] of cases) {
      const { failure, answer } = await exchangeOf(part);
      expect([failure!.kind, answer]).to.deep.equal([kind, null]);
      expect(failure!.reason).to.match(reason);
    }
  });

  it('a server that hangs is a timeout, with and without a connection that was used before', async () => {
    const { failure } = await exchangeOf({ kind: 'hang' }, 200);
    expect(failure).to.deep.equal({ kind: 'timeout', reason: 'no end within 0.2 s' });
  });

  it('nobody at the address is a failure of the connection', async () => {
    const url = await withPlayedServer(
      () => ({ kind: 'hang' }),
      (server) => Promise.resolve(server.url),
    );
    const client = new OpenAiClient({
      url: new URL(url),
      endpoint: 'completions',
      timeoutMs: 60_000,
      keepsText: false,
    });
    const { failure } = await client.complete(ask);
    client.close();
    expect(failure!.kind).to.equal('connection');
    expect(failure!.reason).to.match(/ECONNREFUSED/);
  });

  it('a kept connection that the server closed is opened anew, and nothing fails', async () => {
    await withPlayedServer(
      (_asked, index) => (index === 1 ? { kind: 'cut', after: 0 } : { kind: 'stream', chunks: ['a'] }),
      async ({ url, asked }) => {
        const client = new OpenAiClient({
          url: new URL(url),
          endpoint: 'completions',
          timeoutMs: 60_000,
          keepsText: false,
        });
        const all = [await client.complete(ask), await client.complete(ask)];
        client.close();
        expect(all.map(({ failure }) => failure)).to.deep.equal([null, null]);
        expect(asked).to.have.length(3);
      },
    );
  });

  it('closing ends what runs, as cancelled, and is idempotent', async () => {
    await withPlayedServer(
      () => ({ kind: 'hang' }),
      async ({ url }) => {
        const client = new OpenAiClient({
          url: new URL(url),
          endpoint: 'completions',
          timeoutMs: 60_000,
          keepsText: false,
        });
        const running = [client.complete(ask), client.complete(ask)];
        client.close();
        client.close();
        expect((await Promise.all(running)).map(({ failure }) => failure!.kind)).to.deep.equal([
          'cancelled',
          'cancelled',
        ]);
      },
    );
  });

  it('bodies have the field names of their endpoint, and further fields win', () => {
    const parsed = (body: Buffer): unknown => JSON.parse(body.toString());
    const common = {
      model: 'm',
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
      ignore_eos: true,
    };
    expect(parsed(ask)).to.deep.equal({ ...common, prompt: [70, 71], max_tokens: 3 });
    const messages = [{ role: 'user', content: 'x' }];
    const chat = { ...BODY, endpoint: 'chat', ignoreEos: false, extra: { temperature: 0.5, priority: 1 } } as const;
    expect(parsed(requestBody({ kind: 'messages', messages }, 4, chat))).to.deep.equal({
      ...{ model: 'm', messages, max_completion_tokens: 4, temperature: 0.5, priority: 1 },
      ...{ stream: true, stream_options: { include_usage: true } },
    });
    const turns = parsed(requestBody({ kind: 'text', text: 't' }, 4, { ...BODY, wantsTokenIds: true }));
    expect(turns).to.deep.equal({ ...common, prompt: 't', max_tokens: 4, return_token_ids: true });
  });
});
