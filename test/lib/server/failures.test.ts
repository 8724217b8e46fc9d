import { expect } from 'chai';
import { once } from 'node:events';
import type { HttpServer } from '../../../lib/server/create_server.js';
import { EngineError } from '../../../lib/protocol/errors.js';
import type { TokenEvent } from '../../../lib/protocol/request.js';
import { TokenizerError } from '../../../lib/tokenizer/errors.js';
import { listening, readAll, streamRequest, until } from '../../kit/server/listening.js';
import {
  endless,
  finishedEvent,
  playEvents,
  tokenEvent,
  type Play,
  type PlayedEngine,
} from '../../kit/server/played_engine.js';
import { errorOf, framesOf, playedEngine, post, servedApp } from '../../kit/server/served_app.js';

const PROMPT = { prompt: 'Call me', max_tokens: 400 };

describe('errors of the engine', () => {
  const cases: readonly (readonly [EngineError, number, string])[] = [
    [new EngineError('QUEUE_FULL', '1024 requests wait, as many as may; try again later'), 429, 'queue_full'],
    [new EngineError('INVALID_REQUEST', 'token id 5000 is outside the vocabulary; give others'), 400, 'invalid_value'],
    [new EngineError('NOT_FINITE', 'the model computed NaN; look at its weights'), 500, 'internal_error'],
    [new EngineError('CLOSED', 'the engine was closed; start another'), 503, 'engine_failed'],
  ];
  for (const [error, status, code] of cases) {
    it(`${error.code} is ${status}, whole or streamed, as long as nothing was sent`, async () => {
      const { app } = await servedApp({
        engine: await playedEngine(() => {
          throw error;
        }),
      });
      for (const stream of [false, true]) {
        const answer = await post(app, '/v1/completions', { ...PROMPT, stream });
        const { message, code: told } = errorOf(answer);
        expect([answer.statusCode, told, message]).to.deep.equal([status, code, error.text]);
        expect(answer.headers['retry-after']).to.equal(status === 429 ? '1' : undefined);
      }
    });
  }

  it('later, they are the last frame of the stream', async () => {
    const failing = playEvents(tokenEvent(1, 'a'), new EngineError('RANK_FAILED', 'two ranks were lost; change it'));
    const { app, engine } = await servedApp({ engine: await playedEngine(failing) });
    for (const [url, body] of [
      ['/v1/completions', PROMPT],
      ['/v1/chat/completions', { messages: [{ role: 'user', content: 'x' }] }],
    ] as const) {
      const frames = framesOf(await post(app, url, { ...body, stream: true }));
      expect(frames.at(-1)).to.deep.equal({
        error: { message: 'two ranks were lost; change it', type: 'server_error', param: null, code: 'internal_error' },
      });
    }
    const response = framesOf(await post(app, '/v1/responses', { input: 'x', stream: true }));
    expect((response.at(-1) as { event: string }).event).to.equal('response.failed');
    expect(engine.numRunning).to.equal(0);
  });

  it('one choice that fails ends the others', async () => {
    const play: Play = (request, signal) =>
      request.promptTokenIds[0] === 1
        ? playEvents(tokenEvent(1, 'a'), new EngineError('NOT_FINITE', 'NaN; look at it'))(request, signal)
        : endless()(request, signal);
    const { app, engine } = await servedApp({ engine: await playedEngine(play) });
    expect((await post(app, '/v1/completions', { ...PROMPT, prompt: [[2], [1], [3]] })).statusCode).to.equal(500);
    expect(engine.numRunning).to.equal(0);
  });

  it('where files of the server are is told to nobody', async () => {
    const told: string[] = [];
    for (const code of ['NOT_ENCODABLE', 'READ_FAILED'] as const) {
      const file = '/home/someone/tokenizer.json';
      const error = new TokenizerError(code, `${file}: no token for a part of the text; change it`, { file });
      const { app } = await servedApp({ engine: await playedEngine(playEvents(error)) });
      told.push(errorOf(await post(app, '/v1/completions', PROMPT)).message);
    }
    expect(told).to.deep.equal([
      'no token for a part of the text; change it',
      'the server failed at this request; its log says more',
    ]);
  });

  it('what is nobody else’s business stays in the log', async () => {
    const { app } = await servedApp({
      engine: await playedEngine(() => {
        throw new TypeError('/home/someone/secret');
      }),
    });
    const answer = await post(app, '/v1/completions', PROMPT);
    expect(answer.statusCode).to.equal(500);
    expect(answer.body).not.to.include('secret');
  });
});

describe('clients that go away or do not read', () => {
  for (const stream of [true, false]) {
    it(`a client that vanishes ends its ${stream ? 'stream' : 'request'}`, async () => {
      const engine = await playedEngine(endless());
      await listening({ engine }, async (_server, send) => {
        const socket = await send(streamRequest({ stream }));
        if (stream) await once(socket, 'data');
        await until(() => engine.numRunning === 1);
        socket.destroy();
        await until(() => engine.numRunning === 0);
      });
    });
  }

  it('one that leaves too much unread for too long is disconnected, and its request ends', async () => {
    const engine = await playedEngine(endless('x'.repeat(10_000)));
    const base = { server: { max_unread_bytes: 1024, slow_reader_timeout_ms: 50 } };
    await listening({ engine, base }, async (_server, send) => {
      const socket = await send(streamRequest());
      socket.pause();
      await until(() => engine.requests.length === 1 && engine.numRunning === 0);
    });
  });

  it('one that leaves the end of its stream unread is disconnected too', async () => {
    const tokens = Array.from({ length: 4 }, () => tokenEvent(1, 'x'.repeat(2 ** 23))); // more than the system takes for a client
    const engine = await playedEngine(playEvents(...tokens, finishedEvent()));
    const base = { server: { max_unread_bytes: 2 ** 30, slow_reader_timeout_ms: 50 } };
    await listening({ engine, base }, async (server, send) => {
      const socket = await send(streamRequest());
      socket.pause();
      await until(() => engine.requests.length === 1 && server.numRunning === 0);
    });
  });

  it('one that reads gets pieces longer than it may leave unread', async () => {
    const engine = await playedEngine(playEvents(tokenEvent(1, 'x'.repeat(5000)), finishedEvent({ text: 'end' })));
    await listening({ engine, base: { server: { max_unread_bytes: 1024 } } }, async (_server, send) => {
      const socket = await send(streamRequest().replace('host', 'connection: close\r\nhost'));
      expect(await readAll(socket)).to.match(/x{5000}end"[\s\S]*\[DONE\]/);
    });
  });

  it('one that pauses and reads on gets everything, in fewer and larger pieces', async () => {
    const tokens = Array.from({ length: 2000 }, (_, i): TokenEvent => tokenEvent(1, `${i};`.padEnd(500, 'x')));
    const engine = await playedEngine(playEvents(...tokens, finishedEvent()));
    const base = { server: { max_unread_bytes: 1024 } };
    await listening({ engine, base }, async (_server, send) => {
      const socket = await send(streamRequest().replace('host', 'connection: close\r\nhost'));
      socket.pause();
      await until(() => engine.requests.length === 1);
      const [, body] = (await readAll(socket.resume())).split('\r\n\r\n', 2);
      const text = body!.replace(/^[0-9a-f]+\r\n|\r\n/gm, '');
      expect(text.match(/\d+;/g)).to.have.length(2000);
      expect(text).to.match(/data: \[DONE\]/);
    });
  });
});

describe('a server that ends', () => {
  it('finishes what runs, refuses what is new, and says so', async () => {
    let isOver = false;
    const play: Play = async function* () {
      yield tokenEvent(1, 'a');
      await until(() => isOver);
      yield finishedEvent({ text: 'b' });
    };
    const engine = await playedEngine(play);
    await listening({ engine }, async (server, send) => {
      const running = await send(streamRequest());
      const answered = readAll(running);
      await until(() => engine.numRunning === 1);
      const drained = server.drain();
      expect((await server.app.inject('/health')).statusCode).to.equal(503);
      const refused = await post(server.app, '/v1/completions', PROMPT);
      expect([refused.statusCode, errorOf(refused).code, refused.headers.connection]).to.deep.equal([
        503,
        'draining',
        'close',
      ]);
      isOver = true;
      expect(await drained).to.equal(0);
      expect(await answered).to.match(/"text":"b"[\s\S]*\[DONE\]/);
    });
  });

  it('breaks off what takes longer than drain_timeout_ms, and tells its clients why', async () => {
    const engine = await playedEngine(endless());
    await listening({ engine, base: { server: { drain_timeout_ms: 20 } } }, async (server, send) => {
      const answered = readAll(await send(streamRequest()));
      await until(() => engine.numRunning === 1);
      expect(await server.drain()).to.equal(1);
      expect(await answered).to.match(/"code":"draining"/);
      expect(engine.numRunning).to.equal(0);
    });
  });

  for (const stream of [false, true]) {
    const who = stream ? 'a stream' : 'a request';
    const end = async (engine: PlayedEngine, server: HttpServer): Promise<void> => {
      engine.failure = new EngineError('RANK_LOST', 'rank 1 was killed by SIGKILL; start again');
      const closed = server.close();
      expect(errorOf(await post(server.app, '/v1/completions', PROMPT)).code).to.equal('engine_failed');
      await closed;
    };
    const told = /"rank 1 was killed by SIGKILL; start again".*"code":"engine_failed"/;

    it(`tells ${who} that runs of the engine's failure where that ended it`, async () => {
      const engine = await playedEngine(endless());
      await listening({ engine }, async (server, send) => {
        const answered = readAll(await send(streamRequest({ stream })));
        await until(() => engine.numRunning === 1);
        await end(engine, server);
        expect(await answered).to.match(told);
      });
    });

    it(`tells ${who} of it that has just begun`, async () => {
      let onBegin: () => void = () => undefined;
      const engine = await playedEngine((request, signal) => {
        onBegin();
        return endless()(request, signal);
      });
      await listening({ engine }, async (server, send) => {
        const ended = new Promise<void>((resolve) => (onBegin = () => resolve(end(engine, server))));
        const answered = readAll(await send(streamRequest({ stream })));
        await ended;
        expect(await answered).to.match(told);
      });
    });
  }

  it('can be closed twice', async () => {
    const { server } = await servedApp();
    await server.close();
    await server.close();
  });
});

describe('limits of the connection', () => {
  const cases: readonly (readonly [title: string, request: string, status: number])[] = [
    ['long headers are 431', `GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(17_000)}\r\n\r\n`, 431],
    ['what is no HTTP is 400', 'HELLO\r\n\r\n', 400],
    ['a connection that says nothing is 408', '', 408],
    ['a request that does not come to its end is 408', 'GET /health HTTP/1.1\r\nhost: local', 408],
    ['a body that does not come to its end is 408', streamRequest().slice(0, -5), 408],
  ];
  for (const [title, request, status] of cases) {
    it(title, async () => {
      await listening({ base: { server: { request_timeout_ms: 100 } } }, async (_server, send) => {
        const answer = await readAll(await send(request));
        expect(answer).to.match(new RegExp(`^HTTP/1.1 ${status} `));
        const { type } = errorOf({ body: answer.split('\r\n\r\n')[1]! });
        expect(type).to.equal('invalid_request_error');
      });
    });
  }

  it('more connections than there may be are closed', async () => {
    await listening({ base: { server: { max_connections: 1 } } }, async (_server, send) => {
      const first = await send('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n');
      await once(first, 'data');
      expect(await readAll(await send(''))).to.equal('');
    });
  });
});
