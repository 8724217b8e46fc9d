/** Requests that are kept in a journal, and that another head goes on with. The engine is played. */
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, copyFile, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../../../../lib/config/errors.js';
import { loadConfig } from '../../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { checkServer } from '../../../../lib/server/create_server.js';
import { errorOf as thrownBy } from '../../../kit/rejects.js';
import { finishedEvent, logprobsOf, tokenEvent, type Play } from '../../../kit/server/played_engine.js';
import { errorOf, framesOf, playedEngine, post, servedApp } from '../../../kit/server/served_app.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const TEXT = 'Call me Ishmael';

/** The text's tokens behind those that the request has already; a token that is held up never comes. */
const playRest = (holdAt = Infinity): Play =>
  async function* ({ outputTokenIds = [], sampling }, signal) {
    const tokens = Array.from(TEXT, (character, i) =>
      tokenEvent(i, character, {
        logprobs: i === 1 ? { ...logprobsOf(i), logprob: -Infinity } : logprobsOf(i, 99),
        routedExperts: [[[i, i + 1]]],
        routerLogits: [[Float32Array.of(i, 0.5), Float32Array.of(-1, 1e-9)]],
      }),
    );
    for (const [i, token] of tokens.entries()) {
      if (i < outputTokenIds.length) continue;
      if (i >= holdAt) await given(signal);
      await new Promise(setImmediate);
      yield token;
    }
    const rest = tokens.slice(outputTokenIds.length);
    const routedExperts = rest.flatMap((token) => (token.kind === 'token' ? token.routedExperts! : []));
    yield finishedEvent({ reason: 'length', routedExperts, seed: sampling?.seed ?? -1 });
  };

async function given(signal: AbortSignal | undefined): Promise<never> {
  await new Promise((resolve) => signal?.addEventListener('abort', resolve));
  throw new EngineError('CLOSED', 'the request was cancelled by its caller');
}

const ASKED = {
  '/v1/completions': { prompt: 'Once', echo: true, logprobs: 1, n: 2, return_routed_experts: true, temperature: 1 },
  '/v1/chat/completions': { messages: [{ role: 'user', content: 'Hello' }], logprobs: true, top_logprobs: 2 },
  '/v1/responses': { input: 'Hello', include: ['message.output_text.logprobs'], metadata: { who: 'a test' } },
} as const;

const serve = async (file: string, play: Play, more: object = {}) =>
  servedApp({ base: { server: { journal: file, port: 0 } }, engine: await playedEngine(play), ...more });

type Served = Awaited<ReturnType<typeof serve>>;

const get = ({ app }: Served, id: string, key?: string) =>
  app.inject({ url: `/v1/requests/${id}`, ...(key !== undefined && { headers: { authorization: `Bearer ${key}` } }) });

/** Without what differs between two requests for the same. */
const plain = (answer: unknown): unknown =>
  JSON.parse(
    JSON.stringify(answer).replace(
      /"(id|item_id|created|created_at|completed_at|sequence_number)":("[^"]*"|\d+),/g,
      '',
    ),
  );

/** A head that has told of some tokens, and is held up before the next. */
async function begun(file: string, url: string, body: object, holdAt: number): Promise<Served> {
  const head = await serve(file, playRest(holdAt));
  void post(head.app, url, { ...body, request_id: 'mine' }).then(() => undefined);
  const isThere = async (): Promise<boolean> => (await readFile(file, 'utf8')).includes(`"tokenId":${holdAt - 1}`);
  while (!(await isThere())) await new Promise(setImmediate);
  return head;
}

/** A head that dies: what it wrote stays, in a file that nobody has, and nothing of it ends. */
async function died(file: string, url: string, body: object, holdAt: number): Promise<Served> {
  const own = `${file}.of_dead`;
  const head = await begun(own, url, body, holdAt);
  await copyFile(own, file);
  return head;
}

describe('requests in a journal', () => {
  for (const [url, body] of Object.entries(ASKED)) {
    it(`${url}: another head goes on, and who asks by the id gets what there would have been`, async () => {
      await withTempFolder(async (dir) => {
        const file = join(dir, 'requests.jsonl');
        const undisturbed = await servedApp({ engine: await playedEngine(playRest()) });
        const whole = (await post(undisturbed.app, url, body)).json<object>();
        const streamed = framesOf(await post(undisturbed.app, url, { ...body, stream: true }));
        const first = await died(file, url, body, 5);
        const next = await serve(file, playRest());
        expect(next.server.numResumed).to.equal(1);
        const seedsOf = ({ engine }: Served): unknown => engine.requests.map(({ sampling }) => sampling);
        expect(seedsOf(next)).to.deep.equal(seedsOf(first));
        expect(next.engine.requests.map(({ outputTokenIds }) => outputTokenIds?.length)).to.include(5);
        expect(plain((await get(next, 'mine')).json())).to.deep.equal(plain(whole));
        const frames = framesOf(await get(next, 'mine?stream=true'));
        expect(textOf(frames)).to.equal(textOf(streamed));
        expect(plain(lastOf(frames))).to.deep.equal(plain(lastOf(streamed)));
        await next.server.close();
        await first.server.close();
      });
    });
  }

  it('are found by the id of their answer too, and finished ones by a later head', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const head = await serve(file, playRest());
      const answer = (await post(head.app, '/v1/completions', { prompt: 'a', return_router_logits: true })).json<{
        readonly id: string;
      }>();
      expect((await get(head, answer.id)).json()).to.deep.equal(answer);
      await head.server.close();
      const next = await serve(file, playRest());
      expect(next.server.numResumed).to.equal(0);
      expect((await get(next, answer.id)).json()).to.deep.equal(answer);
      expect(next.engine.requests).to.deep.equal([]);
      await next.server.close();
    });
  });

  it('are written before their clients hear of a token, in a file for its owner alone', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const head = await serve(file, playRest(4));
      const url = await head.server.listen();
      const left = new AbortController();
      const { body } = await fetch(`${url}/v1/completions`, {
        ...{ method: 'POST', signal: left.signal, headers: { 'content-type': 'application/json' } },
        body: JSON.stringify({ prompt: 'a', stream: true }),
      });
      let text = '';
      for await (const piece of body!) {
        text += Buffer.from(piece as Uint8Array).toString();
        const heard = [...text.matchAll(/"text":"(\w+)"/g)].map((match) => match[1]!).join('').length;
        const written = (await readFile(file, 'utf8')).split('"kind":"token"').length - 1;
        expect(written).to.be.at.least(heard).and.at.most(4);
        if (heard === 4) break;
      }
      expect((await stat(file)).mode & 0o777).to.equal(0o600);
      left.abort();
      await head.server.close();
    });
  });

  it('whose client went are over for later heads too', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const head = await serve(file, playRest(3));
      const url = await head.server.listen();
      const left = new AbortController();
      const options = { method: 'POST', signal: left.signal, headers: { 'content-type': 'application/json' } };
      const body = JSON.stringify({ prompt: 'a', stream: true, request_id: 'left' });
      const { body: answer } = await fetch(`${url}/v1/completions`, { ...options, body });
      const reading = answer!.getReader();
      await reading.read();
      left.abort();
      await reading.closed.catch(() => undefined);
      while (!(await readFile(file, 'utf8')).includes('"kind":"end"')) await new Promise(setImmediate);
      await head.server.close();
      const next = await serve(file, playRest());
      expect(next.server.numResumed).to.equal(0);
      expect(errorOf(await get(next, 'left')).code).to.equal('not_found');
      await next.server.close();
    });
  });

  it('that were broken off by the end of their server go on with the next one', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const first = await begun(file, '/v1/completions', { prompt: 'a' }, 2);
      await first.server.close();
      const next = await serve(file, playRest());
      expect((await get(next, 'mine')).json<{ choices: { text: string }[] }>().choices[0]!.text).to.equal(TEXT);
      await next.server.close();
    });
  });

  it('that failed fail for who asks again, with the same words', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const failing: Play = async function* () {
        yield tokenEvent(0, 'a');
        for (let turn = 0; turn < 9; turn++) await new Promise(setImmediate);
        throw new EngineError('RANK_FAILED', 'two ranks were lost while they computed this request; change it');
      };
      const head = await serve(file, failing);
      const answer = await post(head.app, '/v1/completions', { prompt: 'a', request_id: 'mine' });
      expect(errorOf(answer).message).to.include('two ranks were lost');
      await head.server.close();
      const next = await serve(file, playRest());
      const again = await get(next, 'mine');
      expect([again.statusCode, errorOf(again)]).to.deep.equal([answer.statusCode, errorOf(answer)]);
      await next.server.close();
    });
  });

  it('that the engine refuses at once leave nothing', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const refusing: Play = async function* () {
        await Promise.resolve();
        yield* [];
        throw new EngineError('QUEUE_FULL', 'too many wait; try again later');
      };
      const head = await serve(file, refusing);
      expect((await post(head.app, '/v1/completions', { prompt: 'a', stream: true })).statusCode).to.equal(429);
      await head.server.close();
      expect((await readFile(file, 'utf8')).trim().split('\n')).to.have.length(1);
    });
  });

  it('are their caller’s alone', async () => {
    await withTempFolder(async (dir) => {
      const head = await serve(join(dir, 'requests.jsonl'), playRest(), { apiKeys: ['a', 'b'] });
      const asked = { method: 'POST', url: '/v1/completions', payload: { prompt: 'a', request_id: 'mine' } } as const;
      await head.app.inject({ ...asked, headers: { authorization: 'Bearer a' } });
      expect((await get(head, 'mine', 'a')).statusCode).to.equal(200);
      expect(errorOf(await get(head, 'mine', 'b')).code).to.equal('not_found');
      expect(errorOf(await get(head, 'mine')).code).to.equal('invalid_api_key');
      await head.server.close();
    });
  });

  it('are kept where their server has a journal alone, and who asks is told', async () => {
    const { app } = await servedApp();
    const { message, code } = errorOf(await app.inject('/v1/requests/any'));
    expect([code, message]).to.deep.equal(['not_found', 'this server keeps no requests; start it with server.journal']);
  });
});

describe('a journal', () => {
  it('that ends in the middle of a line, or lost one, is gone on with from what it has', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const head = await begun(file, '/v1/completions', { prompt: 'a' }, 6);
      await head.server.close();
      const lines = (await readFile(file, 'utf8')).split('\n');
      const isThird = (line: string): boolean => line.includes('"tokenId":3');
      await writeFile(file, lines.map((line) => (isThird(line) ? line.slice(0, 20) : line)).join('\n'));
      await appendFile(file, '{"kind":"del');
      const next = await serve(file, playRest());
      const { outputTokenIds } = next.engine.requests[0]!;
      expect(outputTokenIds).to.deep.equal([0, 1, 2].slice(0, outputTokenIds!.length)); // a line may have several
      expect((await get(next, 'mine')).json<{ choices: { text: string }[] }>().choices[0]!.text).to.equal(TEXT);
      await next.server.close();
    });
  });

  for (const [what, content] of [
    ['is another file', '# Notes\n'],
    ['is of another model', '{"kind":"journal","version":1,"model":"other"}\n'],
    ['is of another build', '{"kind":"journal","version":2,"model":"other"}\n'],
  ]) {
    it(`that ${what} is refused, before an engine starts and behind that, and stays as it is`, async () => {
      await withTempFolder(async (dir) => {
        const file = join(dir, 'file');
        await writeFile(file, content!);
        for (const { message } of await refusals(file)) {
          expect(message).to.match(/^INVALID_VALUE: "server.journal" is .*; give the path of another file, or move/);
        }
        expect(await readFile(file, 'utf8')).to.equal(content);
        expect(await readdir(dir)).to.deep.equal(['file']);
      });
    });
  }

  it('in a folder that isn’t there is refused before anybody asks', async () => {
    for (const { message } of await refusals('/no/such/folder/requests.jsonl')) {
      expect(message).to.include("can't be written (ENOENT");
    }
  });

  it('has one server at a time', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const head = await begun(file, '/v1/completions', { prompt: 'a' }, 3);
      const before = await readFile(file, 'utf8');
      for (const { message } of await refusals(file)) {
        expect(message).to.include(`${file}, which another server of this process writes; give the path of another`);
      }
      expect(await readFile(file, 'utf8')).to.equal(before);
      await head.server.close();
      const next = await serve(file, playRest());
      expect(next.server.numResumed).to.equal(1);
      await next.server.close();
      expect(await readdir(dir)).to.deep.equal(['requests.jsonl']);
    });
  });

  it('is another process’s for as long as that runs', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const other = spawn(process.execPath, ['--eval', 'setInterval(() => undefined, 1000)']);
      const ended = once(other, 'exit');
      try {
        await writeFile(`${file}.${other.pid}-0-${hostname()}.lock`, '');
        for (const { message } of await refusals(file)) {
          expect(message)
            .to.include(`process ${other.pid} on ${hostname()} writes; `)
            .and.match(/or end that one$/);
        }
      } finally {
        other.kill('SIGKILL');
      }
      await ended;
      const next = await serve(file, playRest());
      expect((await readdir(dir)).filter((name) => name.includes(`.${other.pid}-`))).to.deep.equal([]);
      await next.server.close();
    });
  });

  it('is another machine’s for as long as that gives signs of life', async () => {
    await withTempFolder(async (dir) => {
      const file = join(dir, 'requests.jsonl');
      const lock = `${file}.1-100-elsewhere.lock`;
      await writeFile(lock, '');
      for (const { message } of await refusals(file)) {
        expect(message).to.include(`process 1 on elsewhere writes (if it no longer runs there, delete ${lock})`);
      }
      const earlier = new Date(Date.now() - 60_000);
      await utimes(lock, earlier, earlier);
      const next = await serve(file, playRest());
      await next.server.close();
      expect(await readdir(dir)).to.deep.equal(['requests.jsonl']);
    });
  });
});

/** What is said of a journal that can't be used: before an engine starts, and when its server is made. */
async function refusals(file: string): Promise<readonly ConfigError[]> {
  const { spec } = await playedEngine(playRest());
  const config = await loadConfig({ base: { model: DEMO_MODEL, server: { journal: file, port: 0 } } });
  return [
    await thrownBy(ConfigError, () => checkServer(config, spec)),
    await thrownBy(ConfigError, () => serve(file, playRest())),
  ];
}

/** How a stream ends: a completed response, or why its choice ended. */
function lastOf(frames: readonly unknown[]): unknown {
  const { data, choices } = (frames.at(-1) === '[DONE]' ? frames.at(-2) : frames.at(-1)) as {
    readonly data?: object;
    readonly choices?: readonly { readonly finish_reason: string }[];
  };
  return data ?? choices!.map(({ finish_reason: reason }) => reason);
}

/** All that frames of a stream say, whichever endpoint's they are. */
const textOf = (frames: readonly unknown[]): string =>
  frames
    .map((frame) => {
      const { choices, data } = frame as {
        readonly choices?: readonly {
          readonly index: number;
          readonly text?: string;
          readonly delta?: { content?: string };
        }[];
        readonly data?: { readonly delta?: string };
      };
      const [choice] = choices ?? [];
      return choice?.index === 1 ? '' : (choice?.text ?? choice?.delta?.content ?? data?.delta ?? '');
    })
    .join('');
