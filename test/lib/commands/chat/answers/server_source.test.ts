import { expect } from 'chai';
import type { AnswerNews } from '../../../../../lib/commands/chat/answers/answer.js';
import { AnswerTrace } from '../../../../../lib/commands/chat/answers/answer_trace.js';
import { ChatError } from '../../../../../lib/commands/chat/answers/errors.js';
import { ServerConnection } from '../../../../../lib/commands/chat/answers/server_connection.js';
import { ServerSource } from '../../../../../lib/commands/chat/answers/server_source.js';
import { UsageError } from '../../../../../lib/commands/base/context.js';
import { errorOf } from '../../../../kit/rejects.js';
import { withPlayedServer, type Part, type PlayedServer } from '../../../../kit/serve/played_server.js';

const never = new AbortController().signal;
const QUESTION = [{ role: 'user', content: 'Hi' }];
const DONE = 'data: [DONE]\n\n';

const event = (choice: object): string => `data: ${JSON.stringify({ choices: [choice] })}\n\n`;
const raw = (text: string): Part => ({ kind: 'raw', type: 'text/event-stream', text });

type Fields = Readonly<Record<string, unknown>>;

const open = ({ url }: Pick<PlayedServer, 'url'>, fields: Fields = {}, key?: string): Promise<ServerSource> =>
  ServerSource.open(new ServerConnection(url, key), undefined, fields, never);

async function newsOf(
  source: ServerSource,
  messages: Parameters<ServerSource['answer']>[0] = QUESTION,
): Promise<AnswerNews[]> {
  const all: AnswerNews[] = [];
  for await (const news of source.answer(messages, never)) all.push(news);
  return all;
}

const textOf = (all: readonly AnswerNews[], kind: 'text' | 'thinking'): string =>
  all.flatMap((news) => (news.kind === kind ? news.text : [])).join('');

/** What an answer of one part comes to. */
const answered = (part: Part): Promise<AnswerNews[]> =>
  withPlayedServer(
    () => part,
    async (server) => newsOf(await open(server)),
  );
const failed = (part: Part): Promise<ChatError> =>
  withPlayedServer(
    () => part,
    async (server) => {
      const source = await open(server);
      return errorOf(ChatError, () => newsOf(source));
    },
  );

describe('a server that answers in a chat', () => {
  it('is asked for the first model that it lists, with the messages, the key and what else was given', () =>
    withPlayedServer(
      () => ({ kind: 'stream', chunks: ['Hel', 'lo'] }),
      async (server) => {
        const source = await open(server, { temperature: 0 }, 'k');
        expect(source.model).to.equal('played');
        const said = [...QUESTION, { role: 'assistant', content: 'Yes', reasoning_content: 'hm' }];
        expect(textOf(await newsOf(source, said), 'text')).to.equal('Hello');
        const [asked] = server.asked;
        expect([asked!.path, asked!.authorization]).to.deep.equal(['/v1/chat/completions', 'Bearer k']);
        const messages = [...QUESTION, { role: 'assistant', content: 'Yes' }]; // no thoughts
        expect(asked!.body).to.deep.equal({ model: 'played', messages, stream: true, temperature: 0 });
      },
    ));

  it('may have its version at the end of its address', () =>
    withPlayedServer(
      () => ({ kind: 'stream', chunks: ['x'] }),
      async ({ url, asked }) => {
        for (const each of [url, `${url}/`, `${url}/v1`, `${url}/v1/`]) await newsOf(await open({ url: each }));
        expect(asked.map(({ path }) => path)).to.deep.equal(Array.from({ length: 4 }, () => '/v1/chat/completions'));
      },
    ));

  it('tells its thoughts under either name, or between marks', async () => {
    for (const deltas of [
      [{ reasoning_content: 'hm' }, { content: 'Yes' }],
      [{ reasoning: 'hm' }, { content: 'Yes' }],
      [{ content: '<thi' }, { content: 'nk>hm</think>\n\nY' }, { content: 'es' }],
    ]) {
      const all = await answered(
        raw(deltas.map((delta) => event({ delta })).join('') + event({ delta: {}, finish_reason: 'stop' }) + DONE),
      );
      expect([textOf(all, 'thinking'), textOf(all, 'text'), all.at(-1)]).to.deep.equal([
        'hm',
        'Yes',
        { kind: 'finished', reason: 'stop' },
      ]);
    }
  });

  it('may answer in one piece', async () => {
    const text = JSON.stringify({ choices: [{ message: { content: 'Yes' }, finish_reason: 'length' }] });
    const all = await answered({ kind: 'raw', type: 'application/json; charset=utf-8', text });
    expect(all).to.deep.equal([
      { kind: 'text', text: 'Yes' },
      { kind: 'finished', reason: 'length' },
    ]);
  });

  it('may end without [DONE] once it said why, or without a last blank line', async () => {
    const end = event({ delta: { content: 'Yes' }, finish_reason: 'stop' });
    expect(textOf(await answered(raw(end)), 'text')).to.equal('Yes');
    expect(textOf(await answered(raw(end.trimEnd())), 'text')).to.equal('Yes');
  });

  it('tells experts with each token, several in one chunk too', async () => {
    const names = (...tokens: readonly string[]): object => ({
      content: tokens.map((token) => ({ token, logprob: -1 })),
    });
    const all = await answered(
      raw(
        event({ delta: { content: 'ab' }, logprobs: names('a', 'b'), routed_experts: [[[9]], [[1]]] }) +
          event({
            delta: { content: 'é' },
            logprobs: names('bytes:\\xc3', 'bytes:\\xa9'),
            routed_experts: [[[2]], [[3]]],
          }) +
          event({ delta: {}, finish_reason: 'stop' }) +
          DONE,
      ),
    );
    const trace = new AnswerTrace();
    for (const news of all) if (news.kind === 'routed') trace.add(news.routed);
    expect(trace.tokens).to.deep.equal([
      { text: 'a', experts: [[1]] },
      { text: 'b', experts: [[2]] },
      { text: '', experts: [[3]] },
      { text: 'é', experts: null },
    ]);
  });

  it('that refuses is told with its words and what to do', async () => {
    const refused = async (status: number): Promise<string> =>
      (await failed({ kind: 'status', status, message: 'no\nway' })).text;
    expect(await refused(429)).to.equal('the server answered 429: no\\u000away');
    expect(await refused(401)).to.equal(
      'the server answered 401: no\\u000away; set OPENAI_API_KEY, or give --api-key-file',
    );
    expect((await failed({ kind: 'error event', message: 'out of memory' })).text).to.equal(
      'the server broke off: out of memory',
    );
  });

  it('that breaks off, says nonsense or no stream is told as such', async () => {
    const parts: readonly [Part, string][] = [
      [{ kind: 'cut', after: 1 }, 'the connection broke in the middle'],
      [{ kind: 'cut', after: 0 }, "doesn't answer"],
      [{ kind: 'unfinished' }, 'it ended before the answer did'],
      [raw('data: {"choices": 7}\n\n'), 'is no part of an answer'],
      [raw('data: \u001b[2J\n\n'), '\\u001b[2J'],
      [{ kind: 'raw', type: 'text/html', text: '<html>' }, 'answers with text/html, not with events'],
      [{ kind: 'raw', type: 'application/json', text: '<html>' }, 'is no part of an answer'],
    ];
    for (const [part, words] of parts) expect((await failed(part)).text, words).to.contain(words);
  });

  it('ends with the answer where nobody wants the rest, before it began too', async () => {
    for (const part of [{ kind: 'stream', chunks: ['Hel', 'lo'], gapMs: 1 }, { kind: 'hang' }] as const) {
      await withPlayedServer(
        () => part,
        async (server) => {
          const source = await open(server);
          const stopping = new AbortController();
          const all: AnswerNews[] = [];
          if (part.kind === 'hang') setImmediate(() => stopping.abort());
          for await (const news of source.answer(QUESTION, stopping.signal)) {
            all.push(news);
            stopping.abort();
          }
          expect(all.at(-1)).to.deep.equal({ kind: 'finished', reason: null });
          expect(textOf(all, 'text')).to.equal(part.kind === 'hang' ? '' : 'Hel');
        },
      );
    }
  });

  it('that isn’t there is told before anything is asked, and what is no address is refused', async () => {
    const error = await errorOf(ChatError, () => open({ url: 'http://127.0.0.1:1' }));
    expect([error.code, error.text]).to.deep.equal([
      'NO_SERVER',
      "http://127.0.0.1:1 doesn't answer (connect ECONNREFUSED 127.0.0.1:1); start a server there, or give its --url",
    ]);
    for (const url of ['127.0.0.1:8000', 'ftp://x', 'x', '']) {
      expect((await errorOf(UsageError, () => new ServerConnection(url, undefined))).message).to.contain(
        'no address of a server',
      );
    }
  });

  it('of others tells no experts, and says who does', () =>
    withPlayedServer(
      () => ({ kind: 'hang' }),
      async (server) => {
        expect((await open(server)).noExperts).to.match(/tells no experts; expertwire serve does/);
      },
    ));
});
