import { expect } from 'chai';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { HttpBlockHolder } from '../../../../lib/server/cluster/http_block_holder.js';
import { hexOfKey, keyOfHex } from '../../../../lib/server/cluster/loan_messages.js';
import { SilentHolders } from '../../../../lib/server/cluster/silent_holders.js';
import { errorOf as thrownBy } from '../../../kit/rejects.js';
import { MovingEngine } from '../../../kit/server/moving_engine.js';
import { playText } from '../../../kit/server/played_engine.js';
import { errorOf, servedApp, type ServedAppOptions } from '../../../kit/server/served_app.js';

const NEVER = new AbortController().signal;
const KEYS = ['a', '\u00ff', 'c'].map((char) => char.repeat(32));
const IDENTITY = { fingerprint: 'f00d', sharing: 'salt', block_size: 16 };
const match = (keys = KEYS, identity: object = IDENTITY): object => ({ identity, keys: keys.map(hexOfKey) });

/** An instance that has the blocks of the first two keys. */
async function lender(options: ServedAppOptions = {}) {
  const engine = new MovingEngine(playText(''));
  engine.keys.push(...KEYS.slice(0, 2));
  const base = { cluster: { enabled: true }, server: { port: 0 } };
  const { app, server } = await servedApp({ engine, base, ...options });
  const ask = (path: string, payload: object, bearer?: string) =>
    app.inject({
      ...{ method: 'POST', url: `/v1/kv/${path}`, payload },
      ...(bearer !== undefined && { headers: { authorization: `Bearer ${bearer}` } }),
    });
  return { app, server, engine, ask };
}

/** The same at a port, as another instance sees it. */
async function served(
  use: (holder: (clusterKey?: string) => HttpBlockHolder, engine: MovingEngine) => Promise<void>,
  options: ServedAppOptions = {},
): Promise<void> {
  const { app, server, engine } = await lender(options);
  try {
    await server.listen();
    const { port } = app.server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    const silent = new SilentHolders();
    await use((key) => new HttpBlockHolder(url, { identity: IDENTITY, clusterKey: key ?? null, silent }), engine);
  } finally {
    await server.close();
  }
}

/** A server of somebody else, and what it was sent. */
async function strange(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  use: (holder: HttpBlockHolder) => Promise<unknown>,
  clusterKey: string | null = null,
): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    await use(
      new HttpBlockHolder(`http://127.0.0.1:${port}`, { identity: IDENTITY, clusterKey, silent: new SilentHolders() }),
    );
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const lostBy = async (act: () => Promise<unknown>): Promise<EngineError> => {
  const error = await thrownBy(EngineError, act);
  expect(error.code).to.equal('SOURCE_LOST');
  return error;
};

describe('blocks by their keys over HTTP', () => {
  it('are lent as far as there are any, and read by the loan’s own token until it is released', async () => {
    const { engine, ask } = await lender();
    const answer = (await ask('match', match())).json<{ num_blocks: number; lease: { id: string; token: string } }>();
    const [loan] = engine.loans;
    expect(answer).to.deep.equal({
      ...{ num_blocks: 2, lease: loan!.lease, place: { host: '127.0.0.1', port: 4321 }, timeout_ms: 10_000 },
    });
    const { id, token } = answer.lease;
    expect((await ask(`loans/${id}/renew`, {}, token)).statusCode).to.equal(200);
    expect(errorOf(await ask(`loans/${id}/renew`, {}, 'f'.repeat(64))).code).to.equal('invalid_api_key');
    expect(errorOf(await ask(`loans/${id}/release`, {})).code).to.equal('invalid_api_key');
    expect(loan!.end).to.equal(null);
    expect((await ask(`loans/${id}/release`, {}, token)).statusCode).to.equal(200);
    expect(loan!.end).to.equal('closed');
    expect((await ask(`loans/${id}/release`, {}, token)).statusCode).to.equal(200); // who didn't hear the answer
    await ask('match', match());
    expect(errorOf(await ask(`loans/${id}/release`, {}, token)).code).to.equal('invalid_api_key');
  });

  it('are none where nothing is there, or bits would be others', async () => {
    const { engine, ask } = await lender();
    for (const body of [
      match([KEYS[2]!]),
      match(KEYS, { ...IDENTITY, fingerprint: 'beef' }),
      match(KEYS, { ...IDENTITY, sharing: 'sugar' }),
      match(KEYS, { ...IDENTITY, block_size: 4 }),
    ])
      expect((await ask('match', body)).json()).to.deep.equal({ num_blocks: 0 });
    expect(engine.loans).to.deep.equal([]);
  });

  it('are for who has the cluster key alone', async () => {
    const { ask } = await lender({ clusterKeys: ['secret'] });
    expect(errorOf(await ask('match', match())).code).to.equal('cluster_only');
    expect(errorOf(await ask('match', match(), 'other')).code).to.equal('cluster_only');
    expect((await ask('match', match(), 'secret')).statusCode).to.equal(200);
  });

  it('are fetched from others, on this machine alone where there is no cluster key', async () => {
    const { engine, ask } = await lender();
    const keys = KEYS.map(hexOfKey);
    const holders = ['http://127.0.0.1:1/path', 'https://localhost:2'];
    expect((await ask('fetch', { keys, holders })).json()).to.deep.equal({ num_blocks: 3 });
    expect(engine.fetched).to.deep.equal([[KEYS, 2]]);
    for (const odd of [['http://example.org'], ['file:///x'], [1], new Array<string>(5).fill('http://127.0.0.1:1')]) {
      expect(errorOf(await ask('fetch', { keys, holders: odd })).code).to.equal('invalid_value');
    }
    const { ask: askKeyed } = await lender({ clusterKeys: ['secret'] });
    expect(errorOf(await askKeyed('fetch', { keys, holders })).code).to.equal('cluster_only');
  });

  it('are asked of nobody who didn’t answer a moment ago', async () => {
    let numAsked = 0;
    const hangUp = (request: IncomingMessage): void => {
      numAsked++;
      request.socket.destroy();
    };
    await strange(hangUp, async (holder) => {
      await lostBy(() => holder.match(['a'], NEVER));
      expect(await holder.match(['a'], NEVER)).to.equal(null);
    });
    expect(numAsked).to.equal(1);
  });

  for (const [what, body] of [
    ['no keys', match([])],
    ['keys that are none', { identity: IDENTITY, keys: ['A'.repeat(64)] }],
    ['more keys than may be', { identity: IDENTITY, keys: new Array<string>(8193).fill('0'.repeat(64)) }],
    ['no identity', { keys: ['0'.repeat(64)] }],
  ] as const) {
    it(`are refused for ${what}`, async () => {
      const { ask } = await lender();
      expect(errorOf(await ask('match', body)).code).to.equal('invalid_value');
    });
  }

  it('keys are the same bytes on both sides', () => {
    const key = String.fromCharCode(...Array(256).keys());
    expect(keyOfHex(hexOfKey(key))).to.equal(key);
  });
});

describe('another instance that has blocks', () => {
  it('lends them, hears that they are read still, and that they aren’t any more', async () => {
    await served(async (holder, engine) => {
      const borrowed = (await holder().match(KEYS, NEVER))!;
      const loan = engine.loans[0]!;
      expect(borrowed).to.deep.include({ numBlocks: 2, lease: loan.lease, place: loan.place });
      let numRenewed = 0;
      loan.renew = () => numRenewed++;
      borrowed.renew();
      while (numRenewed === 0) await new Promise(setImmediate);
      borrowed.close();
      borrowed.close();
      while (loan.end === null) await new Promise(setImmediate);
      expect(await holder().match([KEYS[2]!], NEVER)).to.equal(null);
    });
  });

  it('is asked with the cluster key where it has that itself', async () => {
    await served(
      async (holder, engine) => {
        expect((await holder('secret').match(KEYS, NEVER))!.numBlocks).to.equal(2);
        await lostBy(() => holder('other').match(KEYS, NEVER));
        await lostBy(() => holder().match(KEYS, NEVER));
        expect(engine.loans).to.have.length(1);
      },
      { clusterKeys: ['secret'] },
    );
  });

  it('is never sent the key where it doesn’t show that it has it', async () => {
    const seen: unknown[] = [];
    await strange(
      (request, response) => {
        seen.push(request.headers.authorization);
        response.end('{}');
      },
      (holder) => lostBy(() => holder.match(KEYS, NEVER)),
      'secret',
    );
    expect(seen).to.deep.equal([undefined]);
  });

  const answers: [string, (response: ServerResponse) => void][] = [
    ['text', (response) => response.end('hello')],
    ['more blocks without a lease', (response) => response.end('{"num_blocks":3}')],
    ['an endless answer', (response) => response.end('x'.repeat(100_000))],
    ['an error', (response) => response.writeHead(500).end('{"error":{"message":"broken"}}')],
    ['a place elsewhere', (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
  ];
  for (const [what, answer] of answers) {
    it(`is as good as gone where it answers ${what}`, async () => {
      await strange(
        (_request, response) => answer(response),
        (holder) => lostBy(() => holder.match(KEYS, NEVER)),
      );
    });
  }

  it('is as good as gone where its connection breaks, and is not waited for by who was told to stop', async () => {
    await strange(
      (request) => request.socket.destroy(),
      (holder) => lostBy(() => holder.match(KEYS, NEVER)),
    );
    const stop = new AbortController();
    await strange(
      () => stop.abort(new Error('stop')),
      (holder) =>
        thrownBy(Error, () => holder.match(KEYS, stop.signal)).then(({ message }) => expect(message).to.equal('stop')),
    );
  });

  it('lends no more than it was asked for', async () => {
    const answer = {
      num_blocks: 4,
      lease: { id: '0'.repeat(32), token: '1'.repeat(64) },
      place: { host: 'x', port: 1 },
      timeout_ms: 1,
    };
    await strange(
      (_request, response) => response.end(JSON.stringify(answer)),
      async (holder) => expect(await holder.match(KEYS, NEVER)).to.equal(null),
    );
  });
});
