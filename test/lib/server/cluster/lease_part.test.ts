import { expect } from 'chai';
import { ConfigError } from '../../../../lib/config/errors.js';
import { promptDigestOf } from '../../../../lib/protocol/kv_source.js';
import type { LeaseStateMessage } from '../../../../lib/server/cluster/lease_messages.js';
import type { OfferedParams } from '../../../../lib/server/cluster/transfer_params.js';
import { errorOf as thrownBy } from '../../../kit/rejects.js';
import { MovingEngine, type PlayedOffer } from '../../../kit/server/moving_engine.js';
import { PlayedEngine, playText } from '../../../kit/server/played_engine.js';
import { errorOf, servedApp, type ServedAppOptions } from '../../../kit/server/served_app.js';

/** A server with one request that can move, and one who asks it about leases. */
async function leased(options: ServedAppOptions = {}) {
  const engine = new MovingEngine(playText(''));
  const offer = engine.allow('r1');
  const cluster = { enabled: true, id: 'here', url: 'https://node7.example', lease_timeout_ms: 3000 };
  const { app, server } = await servedApp({ engine, base: { cluster }, ...options });
  const ask = (method: 'GET' | 'POST', path: string, bearer = offer.lease.token, payload?: object) =>
    app.inject({
      ...{ method, url: `/v1/kv/leases${path}`, headers: { authorization: `Bearer ${bearer}` } },
      ...(payload !== undefined && { payload }),
    });
  const start = () => ask('POST', '', 'x', { request_id: 'r1' });
  const id = `/${offer.lease.id}`;
  const state = async (query = ''): Promise<LeaseStateMessage> => (await ask('GET', id + query)).json();
  return { app, server, offer, ask, start, id, state };
}

const CLUSTER = { cluster: { enabled: true } };

const waiting = async (offer: PlayedOffer): Promise<void> => {
  while (offer.numWaiting === 0) await new Promise(setImmediate);
};

describe('leases over HTTP', () => {
  it('a request is offered by its id, with all that its target needs', async () => {
    const { start, offer } = await leased();
    offer.set({ numTokens: 33 });
    const params = (await start()).json<OfferedParams>();
    expect(params).to.deep.equal({
      ...{ do_remote_prefill: true, do_remote_decode: false, remote_engine_id: 'here', remote_request_id: 'r1' },
      ...{ remote_block_ids: [0, 1, 2], remote_host: 'node7.example', remote_port: 443, remote_tls: true, tp_size: 1 },
      ...{ lease_id: offer.lease.id, lease_token: offer.lease.token, seed: 77 },
    });
  });

  it('its state is told at once, and then when there is another one', async () => {
    const { start, offer, state } = await leased();
    await start();
    const first = await state();
    expect(first).to.deep.equal({
      ...{ version: 0, place: null, num_prompt_tokens: 3, prompt_digest: promptDigestOf([1, 2, 3]), seed: 77 },
      identity: { fingerprint: 'f00d', shape: { num_layers: 2, dtype: 'f32', row_bytes: 256 }, sharing: 'salt' },
      ...{ output_token_ids: [], num_tokens: 0, num_exact_tokens: 0, is_final: false, pauses_itself: false },
    });
    const next = state('?after=0');
    await waiting(offer);
    offer.set({}, { host: '10.0.0.7', port: 4567 });
    expect(await next).to.deep.include({ version: 1, place: { host: '10.0.0.7', port: 4567 } });
    const more = state('?after=1&tokens=3');
    await waiting(offer);
    offer.set({ numTokens: 2 });
    await waiting(offer);
    offer.set({ outputTokenIds: [9], numTokens: 3, numExactTokens: 2 });
    expect(await more).to.deep.include({
      output_token_ids: [9],
      num_tokens: 3,
      num_exact_tokens: 2,
      is_final: false,
      pauses_itself: false,
    });
    const last = state(`?after=${(await state()).version}&tokens=4`);
    await waiting(offer);
    offer.set({ isPaused: true });
    expect(await last).to.include({ is_final: true });
  });

  it('who missed an answer gets it at once', async () => {
    const { start, offer, state } = await leased();
    await start();
    await state();
    offer.set({ numTokens: 1 });
    await state();
    expect(await state('?after=0&tokens=9')).to.include({ version: 1, num_tokens: 1 });
  });

  it('who asks for news waits no longer than it wants to', async () => {
    const { start, state } = await leased();
    await start();
    await state();
    expect(await state('?after=0&wait=0')).to.include({ version: 0 });
    expect(await state('?after=0&wait=1')).to.include({ version: 0 });
  });

  it('and no longer than keeps the lease', async () => {
    const cluster = { enabled: true, lease_timeout_ms: 100 };
    const { start, state } = await leased({ base: { cluster } });
    await start();
    await state();
    expect(await state('?after=0')).to.include({ version: 0 });
  });

  it('paused it is final; committed it is over, and to say so again changes nothing', async () => {
    const { start, offer, ask, id } = await leased();
    await start();
    expect((await ask('POST', `${id}/pause`)).json()).to.include({ is_final: true });
    for (let i = 0; i < 2; i++) expect((await ask('POST', `${id}/commit`)).statusCode).to.equal(200);
    expect([offer.end, offer.numCommits]).to.deep.equal(['committed', 1]);
  });

  it('rolled back it goes on, and to say so again changes nothing', async () => {
    const { start, offer, ask, id } = await leased();
    await start();
    for (let i = 0; i < 2; i++) expect((await ask('POST', `${id}/rollback`)).statusCode).to.equal(200);
    expect(offer.end).to.equal('rolled_back');
  });

  it('nobody commits what goes on', async () => {
    const { start, ask, id } = await leased();
    await start();
    const answer = await ask('POST', `${id}/commit`);
    expect([answer.statusCode, errorOf(answer).code]).to.deep.equal([409, 'conflict']);
  });

  it('of one that ended by itself everybody hears 410, and who waits hears it at once', async () => {
    const { start, offer, ask, id } = await leased();
    await start();
    await ask('GET', id);
    const waits = ask('GET', `${id}?after=0`);
    await waiting(offer);
    offer.over('expired');
    const answers = [
      await waits,
      await ask('GET', id),
      await ask('POST', `${id}/pause`),
      await ask('POST', `${id}/commit`),
    ];
    expect(answers.map((answer) => [answer.statusCode, errorOf(answer).code])).to.deep.equal(
      Array(4).fill([410, 'gone']),
    );
  });

  it('a draining server takes them still', async () => {
    const { server, start, ask, id } = await leased();
    await start();
    const drained = server.drain();
    const answers = [
      await start(),
      await ask('GET', id),
      await ask('POST', `${id}/pause`),
      await ask('POST', `${id}/commit`),
    ];
    expect(answers.map(({ statusCode }) => statusCode)).to.deep.equal([200, 200, 200, 200]);
    await drained;
  });

  const wrong: readonly (readonly [string, 'GET' | 'POST', string, object | undefined, string, number])[] = [
    ['a request that there is not', 'POST', '', { request_id: 'r2' }, 'x', 404],
    ['no request', 'POST', '', {}, 'x', 400],
    ['an id without end', 'POST', '', { request_id: 'r'.repeat(257) }, 'x', 400],
    ['a lease that there is not', 'GET', `/${'e'.repeat(32)}`, undefined, 'f'.repeat(64), 401],
    ['a name that no lease has', 'GET', '/..%2f..%2fcluster', undefined, 'f'.repeat(64), 400],
    ['another token', 'GET', 'ID', undefined, 'e'.repeat(64), 401],
    ['half a token', 'POST', 'ID/commit', undefined, 'f'.repeat(32), 401],
    ['a state numbered otherwise', 'GET', 'ID?after=x', undefined, 'TOKEN', 400],
    ['an endless wait', 'GET', 'ID?wait=1e12', undefined, 'TOKEN', 400],
    ['a step that there is not', 'POST', 'ID/forget', undefined, 'TOKEN', 404],
  ];
  for (const [title, method, path, payload, bearer, status] of wrong) {
    it(`${title} is ${status}`, async () => {
      const { start, offer, ask, id } = await leased();
      await start();
      const token = bearer === 'TOKEN' ? offer.lease.token : bearer;
      expect((await ask(method, path.replace(/^ID/, id), token, payload)).statusCode).to.equal(status);
      expect(offer.end).to.equal(null);
    });
  }

  it('an engine whose requests stay is no instance', async () => {
    const engine = new PlayedEngine(playText(''));
    const { key } = await thrownBy(ConfigError, () => servedApp({ engine, base: CLUSTER }));
    expect(key).to.equal('cluster.enabled');
  });

  it('a server outside of clusters has none of it', async () => {
    const { app } = await servedApp();
    for (const url of ['/cluster', '/v1/kv/leases/x', '/cluster/events']) {
      expect((await app.inject({ method: 'GET', url })).statusCode).to.equal(404);
    }
  });

  it('hundreds that are over are forgotten, oldest first', async () => {
    const engine = new MovingEngine(playText(''));
    const { app } = await servedApp({ engine, base: { cluster: { enabled: true } } });
    const offers = Array.from({ length: 300 }, (_, i) => engine.allow(`r${i}`));
    for (const [i, offer] of offers.entries()) {
      await app.inject({ method: 'POST', url: '/v1/kv/leases', payload: { request_id: `r${i}` } });
      offer.over('expired');
    }
    const statusOf = async ({ lease: { id, token } }: PlayedOffer): Promise<number> =>
      (await app.inject({ method: 'GET', url: `/v1/kv/leases/${id}`, headers: { authorization: `Bearer ${token}` } }))
        .statusCode;
    expect([await statusOf(offers[0]!), await statusOf(offers[299]!)]).to.deep.equal([401, 410]);
  });
});
