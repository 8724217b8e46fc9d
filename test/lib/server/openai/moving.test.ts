import { expect } from 'chai';
import { EngineError } from '../../../../lib/protocol/errors.js';
import type { TokenEvent } from '../../../../lib/protocol/request.js';
import type { ServerApp } from '../../../../lib/server/base/part.js';
import { HttpKvSource } from '../../../../lib/server/cluster/http_kv_source.js';
import { demoTokenizer, errorOf, servedApp, type ServedAppOptions } from '../../../kit/server/served_app.js';
import { MovingEngine } from '../../../kit/server/moving_engine.js';
import { finishedEvent, playEvents, tokenEvent, type Play } from '../../../kit/server/played_engine.js';

const ROUTED = { 'x-expertwire-router': '1', 'x-request-id': 'r1' };
const BASE = { cluster: { enabled: true, id: 'here', url: 'http://127.0.0.1:8123' } };

/** Tokens of a story; where it was told before, they are told again behind a note. */
const story: Play = async function* (request) {
  if (request.tellAgain === true)
    yield { kind: 'resumed', text: '', numTokens: request.outputTokenIds?.length ?? 1, seed: 5 };
  yield* playEvents(...TOKENS, finishedEvent())(request, undefined);
};
const TOKENS = ['Once', ' upon', ' a', ' time'].map((text, i) => tokenEvent(10 + i, text));

async function served(
  play: Play = story,
  options: ServedAppOptions = {},
): Promise<{ app: ServerApp; engine: MovingEngine }> {
  const engine = new MovingEngine(play, await demoTokenizer());
  const { app } = await servedApp({ engine, base: BASE, ...options });
  return { app, engine };
}

const post = (app: ServerApp, url: string, payload: object, headers: Readonly<Record<string, string>> = ROUTED) =>
  app.inject({ method: 'POST', url, payload, headers });

/** A stream's blocks; what differs from run to run is taken out. */
const blocksOf = ({ body }: { readonly body: string }): string[] =>
  body
    .split('\n\n')
    .slice(0, -1)
    .map((block) =>
      block.replace(/"created(_at)?":\d+/g, '"created":0').replace(/"completed_at":\d+/, '"completed_at":0'),
    );

const notesOf = (blocks: readonly string[]): string[] =>
  blocks.map((block) => (block.startsWith(':') ? block.split('\n', 1)[0]!.slice(2) : '-'));
/** Without notes: what the client sees. */
const dataOf = (blocks: readonly string[]): string[] =>
  blocks.map((block) => block.replace(/^:.*(\n|$)/, '')).filter((block) => block !== '');

const ENDPOINTS = [
  ['/v1/completions', { prompt: 'Tell', max_tokens: 9 }],
  [
    '/v1/completions',
    {
      prompt: 'Tell',
      max_tokens: 9,
      echo: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    },
  ],
  [
    '/v1/chat/completions',
    {
      messages: [{ role: 'user', content: 'Tell' }],
      max_tokens: 9,
      return_token_ids: true,
      stream_options: { include_usage: true },
    },
  ],
  ['/v1/responses', { input: 'Tell', max_output_tokens: 9 }],
] as const;

describe('a stream for a router', () => {
  for (const [url, fields] of ENDPOINTS) {
    const title = `${url}${'echo' in fields ? ' with echo' : ''}`;
    const body = { ...fields, stream: true, seed: 3 };

    it(`${title} has notes beside what clients get`, async () => {
      const { app } = await served();
      const plain = blocksOf(await post(app, url, body, { 'x-request-id': 'r1' }));
      const noted = blocksOf(await post(app, url, body));
      expect(dataOf(noted)).to.deep.equal(plain);
      expect(noted[0]!.startsWith(': '), 'a router sees by its first byte that it has notes').to.equal(true);
      expect(notesOf(noted).filter((note) => note !== '-')).to.deep.equal([
        ...(url === '/v1/responses' ? ['opening'] : []),
        'begun {"seed":3,"created":0,"movable":true}',
        ...['tokens 10', 'tokens 11', 'tokens 12', 'tokens 13', 'done'],
      ]);
      expect(noted.at(-1)!.startsWith(': done\n')).to.equal(true);
    });

    it(`${title} goes on behind each token as it would have gone on, to the byte`, async () => {
      const { app, engine } = await served();
      const whole = blocksOf(await post(app, url, body));
      for (let numTold = 0; numTold <= 4; numTold++) {
        const resume = { token_ids: [10, 11, 12, 13].slice(0, numTold), seed: 3, created: 0 };
        const rest = blocksOf(await post(app, url, { ...body, resume }));
        const { outputTokenIds, tellAgain, sampling } = engine.requests.at(-1)!;
        expect({ outputTokenIds, tellAgain, seed: sampling?.seed }).to.deep.equal({
          ...{ outputTokenIds: resume.token_ids, tellAgain: true, seed: 3 },
        });
        const at =
          numTold === 0
            ? notesOf(whole).findIndex((note) => note.startsWith('begun'))
            : notesOf(whole).indexOf(`tokens ${9 + numTold}`);
        expect(notesOf(rest).slice(0, 2)).to.deep.equal([
          notesOf(whole).find((note) => note.startsWith('begun')),
          `resumed ${numTold}`,
        ]);
        expect(rest.slice(2)).to.deep.equal(whole.slice(at + 1));
      }
    });
  }
});

/** Two tokens, then what `end` says. */
const thenEnds = (end: TokenEvent | Error): Play => playEvents(...TOKENS.slice(0, 2), end);
const MOVED: TokenEvent = { kind: 'moved', text: '', seed: 5 };

describe('a request that goes on elsewhere', () => {
  for (const [url, fields] of ENDPOINTS) {
    it(`${url}: its stream ends with a note, and no end for clients`, async () => {
      const { app } = await served(thenEnds(MOVED));
      const blocks = blocksOf(await post(app, url, { ...fields, stream: true }));
      expect(notesOf(blocks).slice(-3)).to.deep.equal(['tokens 10', 'tokens 11', 'moved']);
      expect(blocks.at(-1)).to.equal(': moved');
    });

    it(`${url}: a whole answer is 409`, async () => {
      const { app } = await served(thenEnds(MOVED));
      const rest = { ...fields, stream_options: undefined };
      const answer = await post(app, url, rest);
      expect([answer.statusCode, errorOf(answer).code]).to.deep.equal([409, 'moved']);
    });
  }

  it('that fails says so in a note beside what clients read', async () => {
    const { app } = await served(thenEnds(new EngineError('RANK_FAILED', 'rank 1 broke', { rank: 1 })));
    const blocks = blocksOf(await post(app, '/v1/completions', { prompt: 'x', stream: true }));
    expect(blocks.at(-1)).to.match(/^: failed internal_error\ndata: {"error":{"message":"rank 1 broke"/);
  });

  it('tells each token apart where several come at once, and the end with the last', async () => {
    const { app } = await served(async function* () {
      await Promise.resolve();
      yield* TOKENS;
      yield finishedEvent();
    });
    const blocks = blocksOf(await post(app, '/v1/completions', { prompt: 'x', stream: true }));
    expect(notesOf(blocks).slice(1)).to.deep.equal(['tokens 10', 'tokens 11', 'tokens 12', 'tokens 13', 'done']);
    expect(blocks.at(-2)).to.include('"finish_reason":"stop"');
    const { app: alone } = await served(story);
    const plain = blocksOf(await post(alone, '/v1/completions', { prompt: 'x', stream: true }));
    expect(dataOf(blocks).length).to.equal(dataOf(plain).length);
  });

  const unmovable = [{ n: 2 }, { logprobs: 1 }, { return_routed_experts: true }, { prompt: ['x', 'y'] }];
  for (const fields of unmovable) {
    it(`with ${JSON.stringify(fields)} it stays: the router is told so`, async () => {
      const { app, engine } = await served();
      const blocks = blocksOf(await post(app, '/v1/completions', { prompt: 'x', stream: true, ...fields }));
      expect(blocks[0]).to.match(/"movable":false}$/);
      expect([...new Set(notesOf(blocks).slice(1))]).to.deep.equal(['-', 'done']);
      expect(engine.requests.some(({ movable }) => movable === true)).to.equal(false);
      const resume = { token_ids: [10] };
      const refused = await post(app, '/v1/completions', { prompt: 'x', resume, ...fields });
      expect([refused.statusCode, errorOf(refused).param]).to.deep.equal([400, 'resume']);
    });
  }

  it('has a seed that was drawn for it, so that another instance draws the same tokens', async () => {
    const { app, engine } = await served();
    const [begun] = blocksOf(await post(app, '/v1/completions', { prompt: 'x', stream: true }));
    const { seed } = JSON.parse(begun!.slice(': begun '.length)) as { readonly seed: number };
    expect(engine.requests[0]!.sampling!.seed).to.equal(seed).and.not.equal(0);
  });
});

describe('prompts here, tokens elsewhere', () => {
  it('a stream tells the router who is to go on, once a rank has the request', async () => {
    let settle!: () => void;
    const placed = new Promise<void>((resolve) => (settle = resolve));
    const { app, engine } = await served(async function* (request) {
      await placed;
      yield* thenEnds(MOVED)(request, undefined);
    });
    const offer = engine.allow('r1');
    const stream = { prompt: 'x', stream: true, kv_transfer_params: { do_remote_decode: true } };
    const answer = post(app, '/v1/completions', stream);
    while (offer.numWaiting === 0) await new Promise(setImmediate);
    offer.set({ numTokens: 17 }, { host: '10.0.0.7', port: 4567 });
    while (offer.numWaiting > 0) await new Promise(setImmediate);
    settle();
    const blocks = blocksOf(await answer);
    expect(notesOf(blocks).map((note) => note.split(' ')[0])).to.deep.equal([
      'begun',
      'kv',
      'tokens',
      'tokens',
      'moved',
    ]);
    expect(JSON.parse(blocks[1]!.slice(': kv '.length))).to.deep.equal({
      ...{ do_remote_prefill: true, do_remote_decode: false, remote_engine_id: 'here', remote_request_id: 'r1' },
      ...{ remote_block_ids: [0, 1], remote_host: '127.0.0.1', remote_port: 8123, remote_tls: false, tp_size: 1 },
      ...{ lease_id: offer.lease.id, lease_token: offer.lease.token, seed: 77 },
    });
    const { movable, handover } = engine.requests[0]!;
    expect({ movable, handover }).to.deep.equal({ movable: true, handover: 'after_prompt' });
  });

  it('a stream whose request is over before anybody goes on has no such note', async () => {
    const { app } = await served(); // nothing can be offered
    const stream = { prompt: 'x', stream: true, kv_transfer_params: { do_remote_decode: true } };
    const blocks = blocksOf(await post(app, '/v1/completions', stream));
    expect(notesOf(blocks).at(-1)).to.equal('done');
    expect(notesOf(blocks).some((note) => note.startsWith('kv'))).to.equal(false);
  });

  const prefill = {
    max_tokens: 1,
    kv_transfer_params: { do_remote_decode: true, do_remote_prefill: false, remote_host: null },
  };
  const onlyOne: Play = playEvents(TOKENS[0]!, finishedEvent({ reason: 'length' }));

  it('a whole answer of one token has what vLLM’s proxies pass on', async () => {
    for (const [url, fields] of ENDPOINTS.slice(0, 3)) {
      const { app, engine } = await served(onlyOne);
      engine.allow('r1').set({ outputTokenIds: [10], numTokens: 3, isOver: true }, { host: '10.0.0.7', port: 4567 });
      const rest = { ...fields, stream_options: undefined };
      const answer = await post(app, url, { ...rest, ...prefill }, { 'x-request-id': 'r1' });
      const { kv_transfer_params: params } = answer.json<{ readonly kv_transfer_params: Record<string, unknown> }>();
      expect(params).to.include({ do_remote_prefill: true, remote_host: '127.0.0.1', remote_port: 8123, seed: 77 });
      expect(params.remote_block_ids).to.deep.equal([0]);
    }
  });

  it('and none where its first token was its end, or nothing is held any more', async () => {
    const { app: ended } = await served(playEvents(TOKENS[0]!, finishedEvent()));
    expect((await post(ended, '/v1/completions', { prompt: 'x', ...prefill })).json()).to.include({
      kv_transfer_params: null,
    });
    const { app: gone } = await served(onlyOne);
    expect((await post(gone, '/v1/completions', { prompt: 'x', ...prefill })).json()).to.include({
      kv_transfer_params: null,
    });
  });

  it('the target reads from there, draws with its seed, and tells all tokens', async () => {
    const { app, engine } = await served();
    const answer = await post(app, '/v1/completions', { prompt: 'x', kv_transfer_params: SOURCE }, {});
    expect(answer.json<{ choices: { text: string }[] }>().choices[0]!.text).to.equal('Once upon a time');
    const { source, tellAgain, sampling, movable } = engine.requests[0]!;
    expect(source).to.be.instanceOf(HttpKvSource);
    expect({ tellAgain, seed: sampling?.seed, movable }).to.deep.equal({ tellAgain: true, seed: 77, movable: false });
  });
});

/** Nobody listens there. */
const SOURCE = {
  ...{ do_remote_prefill: true, do_remote_decode: false, remote_host: '127.0.0.1', remote_port: 9, seed: 77 },
  ...{ remote_block_ids: [4, 5], remote_engine_id: 'there', lease_id: '0'.repeat(32), lease_token: 'f'.repeat(64) },
};

describe('what a request may say to an instance', () => {
  const key = { apiKeys: ['client'], clusterKeys: ['cluster'] };
  const as = (bearer: string) => ({ authorization: `Bearer ${bearer}` });
  const cases: readonly (readonly [
    string,
    ServedAppOptions,
    object,
    Readonly<Record<string, string>>,
    string | null,
  ])[] = [
    ['no cluster, no transfer', { base: {} }, { kv_transfer_params: SOURCE }, {}, 'unsupported'],
    ['no cluster, no resume', { base: {} }, { resume: { token_ids: [] } }, {}, 'unsupported'],
    ['params that ask for nothing are fine anywhere', { base: {} }, { kv_transfer_params: { foo: 1 } }, {}, null],
    ['clients with an API key can’t name hosts', key, { kv_transfer_params: SOURCE }, as('client'), 'cluster_only'],
    ['nor go on', key, { resume: { token_ids: [10] } }, as('client'), 'cluster_only'],
    [
      'who has the cluster key can',
      key,
      { kv_transfer_params: { ...SOURCE, remote_host: '10.9.8.7' } },
      as('cluster'),
      null,
    ],
    [
      'without one, this machine alone is named',
      {},
      { kv_transfer_params: { ...SOURCE, remote_host: '10.9.8.7' } },
      {},
      'invalid_value',
    ],
    ['::1 is this machine', {}, { kv_transfer_params: { ...SOURCE, remote_host: '[::1]' } }, {}, null],
    [
      'a host has no port in it',
      {},
      { kv_transfer_params: { ...SOURCE, remote_host: '127.0.0.1:80' } },
      {},
      'invalid_value',
    ],
    ['nor a path', {}, { kv_transfer_params: { ...SOURCE, remote_host: '127.0.0.1/x' } }, {}, 'invalid_value'],
    ['nor a user', {}, { kv_transfer_params: { ...SOURCE, remote_host: 'a@127.0.0.1' } }, {}, 'invalid_value'],
    ['a port is one', {}, { kv_transfer_params: { ...SOURCE, remote_port: 70_000 } }, {}, 'invalid_value'],
    ['a lease has an id', {}, { kv_transfer_params: { ...SOURCE, lease_id: '../x' } }, {}, 'invalid_value'],
    ['vLLM’s own source can’t be read', {}, { kv_transfer_params: { ...SOURCE, lease_id: null } }, {}, 'invalid_value'],
    [
      'here and elsewhere exclude each other',
      {},
      { kv_transfer_params: { ...SOURCE, do_remote_decode: true } },
      {},
      'invalid_value',
    ],
    [
      'streams for clients have no room for params',
      {},
      { stream: true, kv_transfer_params: { do_remote_decode: true } },
      {},
      'unsupported',
    ],
    ['tokens are whole numbers', {}, { resume: { token_ids: [1.5] } }, {}, 'invalid_value'],
    ['resume names its tokens', {}, { resume: {} }, {}, 'invalid_value'],
    ['a seed is none below 0', {}, { resume: { token_ids: [], seed: -1 } }, {}, 'invalid_value'],
  ];
  for (const [title, options, fields, headers, code] of cases) {
    it(title, async () => {
      const { app } = await served(story, options);
      const answer = await post(app, '/v1/completions', { prompt: 'x', ...fields }, headers);
      expect(answer.statusCode === 200 ? null : errorOf(answer).code).to.equal(code);
    });
  }

  it('the router’s header alone makes no router', async () => {
    const { app } = await served(story, key);
    const { body } = await post(app, '/v1/completions', { prompt: 'x', stream: true }, { ...ROUTED, ...as('client') });
    expect(body).to.not.match(/^:/m);
  });
});
