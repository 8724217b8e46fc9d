import { expect } from 'chai';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EngineError } from '../../../../lib/protocol/errors.js';
import { promptDigestOf, type SourceState } from '../../../../lib/protocol/kv_source.js';
import { HttpKvSource } from '../../../../lib/server/cluster/http_kv_source.js';
import { errorOf as thrownBy } from '../../../kit/rejects.js';
import { MovingEngine, type PlayedOffer } from '../../../kit/server/moving_engine.js';
import { playText } from '../../../kit/server/played_engine.js';
import { servedApp } from '../../../kit/server/served_app.js';

const NEVER = new AbortController().signal;
const LEASE = { id: '0'.repeat(32), token: 'f'.repeat(64) };

/** A source at a port of this machine. */
const sourceAt = (port: number, { id, token } = LEASE, timeoutMs = 10_000): HttpKvSource =>
  new HttpKvSource({ host: '127.0.0.1', port, isTls: false, id, token }, timeoutMs);

/** A server with an offer, and its target's view of it. */
async function offered(
  use: (source: HttpKvSource, offer: PlayedOffer, port: number) => Promise<void>,
  base: object = { cluster: { enabled: true } },
): Promise<void> {
  const engine = new MovingEngine(playText(''));
  const offer = engine.allow('r1');
  const { app, server } = await servedApp({ engine, base: { ...base, server: { port: 0 } } });
  try {
    await server.listen();
    await app.inject({ method: 'POST', url: '/v1/kv/leases', payload: { request_id: 'r1' } });
    const { port } = app.server.address() as AddressInfo;
    await use(sourceAt(port, offer.lease), offer, port);
  } finally {
    await server.close();
  }
}

/** A server of somebody else. */
async function strange(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  use: (source: HttpKvSource, port: number) => Promise<unknown>,
): Promise<void> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    await use(sourceAt(port), port);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

const lostBy = (act: () => Promise<unknown>): Promise<EngineError> =>
  thrownBy(EngineError, act).then((error) => {
    expect(error.code).to.equal('SOURCE_LOST');
    return error;
  });

const waiting = async (offer: PlayedOffer): Promise<void> => {
  while (offer.numWaiting === 0) await new Promise(setImmediate);
};

/** Until somebody waits, and then waits no more. */
const nextWait = async (offer: PlayedOffer): Promise<void> => {
  await waiting(offer);
  while (offer.numWaiting > 0) await new Promise(setImmediate);
};

describe('a source over HTTP', () => {
  it('says what the offer is', () =>
    offered(async (source, offer) => {
      const expected: SourceState = {
        ...{ lease: offer.lease, place: null, numPromptTokens: 3, promptDigest: promptDigestOf([1, 2, 3]), seed: 77 },
        identity: { fingerprint: 'f00d', shape: { numLayers: 2, dtype: 'f32', rowBytes: 256 }, sharing: 'salt' },
        ...{ outputTokenIds: [], numTokens: 0, numExactTokens: 0, isFinal: false, pausesItself: false },
      };
      expect(await source.open(NEVER)).to.deep.equal(expected);
    }));

  it('is followed until it is read, paused and committed', () =>
    offered(async (source, offer) => {
      await source.open(NEVER);
      const placed = source.more(5, NEVER);
      await waiting(offer);
      offer.set({}, { host: '10.0.0.7', port: 4567 });
      expect((await placed).place).to.deep.equal({ host: '10.0.0.7', port: 4567 });
      const more = source.more(5, NEVER);
      await waiting(offer);
      offer.set({ outputTokenIds: [9, 8, 7], numTokens: 5, numExactTokens: 5 });
      expect(await more).to.deep.include({ outputTokenIds: [9, 8, 7], numTokens: 5, isFinal: false });
      expect(await source.finish(NEVER)).to.deep.include({ numTokens: 5, isFinal: true });
      await source.commit();
      expect(offer.end).to.equal('committed');
      const { message } = await lostBy(() => source.more(6, NEVER));
      expect(message).to.match(/answers 410 the offer is over \(committed\)/);
    }));

  it('is asked again to pause where that takes longer than an answer may', async () => {
    const base = { cluster: { enabled: true, lease_timeout_ms: 100 } };
    await offered(async (_source, offer, port) => {
      const source = sourceAt(port, offer.lease, 100);
      offer.set({ pausesItself: true });
      expect(await source.open(NEVER)).to.include({ isFinal: false, pausesItself: true });
      const finishing = source.finish(NEVER);
      for (let i = 0; i < 3; i++) await nextWait(offer);
      offer.set({ isPaused: true, outputTokenIds: [9], numTokens: 3 });
      expect(await finishing).to.deep.include({ isFinal: true, outputTokenIds: [9] });
    }, base);
  });

  it('or rolled back', () =>
    offered(async (source, offer) => {
      await source.open(NEVER);
      await source.rollback();
      expect(offer.end).to.equal('rolled_back');
    }));

  it('is waited for no longer than keeps the lease, and no longer than anybody wants', () =>
    offered(async (_source, offer, port) => {
      const source = sourceAt(port, offer.lease, 150);
      await source.open(NEVER);
      expect((await source.more(5, NEVER)).numTokens).to.equal(0);
      const giveUp = new AbortController();
      const more = sourceAt(port, offer.lease).more(Infinity, giveUp.signal);
      giveUp.abort(new Error('nobody waits'));
      expect((await thrownBy(Error, () => more)).message).to.equal('nobody waits');
    }));

  it('is lost where the lease is another’s', () =>
    offered(async (_source, _offer, port) => {
      expect((await lostBy(() => sourceAt(port).open(NEVER))).message).to.match(/answers 401/);
    }));

  it('is lost where nobody listens', async () => {
    let gone = 0;
    await strange(
      () => undefined,
      async (_source, port) => (gone = await Promise.resolve(port)),
    );
    expect((await lostBy(() => sourceAt(gone).open(NEVER))).message).to.match(/can't be reached/);
  });

  it('a question whose connection breaks is asked once more', async () => {
    let numAsked = 0;
    await strange(
      (request, response) => {
        if (numAsked++ === 0) request.socket.destroy();
        else response.end('{}');
      },
      async (source) => {
        await source.commit();
        expect(numAsked).to.equal(2);
      },
    );
  });

  const answers: readonly (readonly [string, (response: ServerResponse) => void, RegExp])[] = [
    ['no JSON', (response) => response.end('hello'), /something else than the state of a lease/],
    ['another JSON', (response) => response.end('{"version": "x"}'), /something else than the state of a lease/],
    [
      'an answer without end',
      (response) => void response.end(Buffer.alloc(9 * 2 ** 20, 0x20)),
      /more than 8388608 bytes/,
    ],
    [
      'another address',
      (response) => void response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(),
      /can't be reached/,
    ],
    [
      'an error that obeys nobody',
      (response) => void response.writeHead(500).end('\u001b[2J'),
      /answers 500 \\u001b\[2J/,
    ],
  ];
  for (const [title, answer, expected] of answers) {
    it(`${title} is no state`, () =>
      strange(
        (_request, response) => answer(response),
        async (source) => expect((await lostBy(() => source.open(NEVER))).message).to.match(expected),
      ));
  }

  it('a server that never answers is lost in time', () =>
    strange(
      () => undefined,
      async (_source, port) => {
        expect((await lostBy(() => sourceAt(port, LEASE, 50).open(NEVER))).message).to.match(/can't be reached/);
      },
    ));
});
