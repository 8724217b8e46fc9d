import { expect } from 'chai';
import { hash } from 'node:crypto';
import {
  CHALLENGE_HEADER,
  keyDigest,
  newChallenge,
  proofOf,
  PROOF_HEADER,
} from '../../../../lib/cluster/base/key_proof.js';
import { ConfigError } from '../../../../lib/config/errors.js';
import { loadConfig, type PartialConfig } from '../../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { checkServer } from '../../../../lib/server/create_server.js';
import { epochOf } from '../../../kit/engine/epochs.js';
import { errorOf as thrownBy } from '../../../kit/rejects.js';
import { MovingEngine } from '../../../kit/server/moving_engine.js';
import { playText } from '../../../kit/server/played_engine.js';
import { servedApp, type ServedAppOptions } from '../../../kit/server/served_app.js';

const CLUSTER = { cluster: { enabled: true } };
const moving = (): MovingEngine => new MovingEngine(playText(''));

describe('who may use the routes of a cluster', () => {
  const key = (bearer: string) => ({ authorization: `Bearer ${bearer}` });
  const cases: readonly (readonly [string, ServedAppOptions, Readonly<Record<string, string>>, number])[] = [
    ['this machine, without keys', {}, {}, 200],
    [
      'nobody under another name, without keys',
      { base: { server: { host: '0.0.0.0' } } },
      { host: 'evil.example' },
      403,
    ],
    ['this machine with an API key, where there are any', { apiKeys: ['client'] }, key('client'), 200],
    ['not without it', { apiKeys: ['client'] }, {}, 403],
    ['who has the cluster key', { clusterKeys: ['cluster'] }, key('cluster'), 200],
    [
      'from anywhere',
      { clusterKeys: ['cluster'], base: { server: { host: '0.0.0.0' } } },
      { ...key('cluster'), host: 'x.example' },
      200,
    ],
    ['not this machine alone, where there is one', { clusterKeys: ['cluster'] }, {}, 403],
    ['no client with an API key', { apiKeys: ['client'], clusterKeys: ['cluster'] }, key('client'), 403],
  ];
  for (const [title, { base, ...options }, headers, status] of cases) {
    it(`${title}: ${status}`, async () => {
      const { app } = await servedApp({ ...options, engine: moving(), base: { ...CLUSTER, ...base } });
      expect(
        (await app.inject({ method: 'GET', url: '/cluster', headers: { host: 'localhost', ...headers } })).statusCode,
      ).to.equal(status);
    });
  }

  it('who asks without it is shown that the server has it, where it is for the cluster alone', async () => {
    const { app } = await servedApp({ clusterKeys: ['old', 'cluster'], engine: moving(), base: CLUSTER });
    const challenge = newChallenge();
    const proofOn = async (url: string, sent: string): Promise<unknown> =>
      (await app.inject({ method: 'GET', url, headers: { [CHALLENGE_HEADER]: sent } })).headers[PROOF_HEADER];
    const proofs = ['old', 'cluster'].map((each) => proofOf(keyDigest(each), challenge));
    expect(await proofOn('/cluster/events', challenge)).to.equal(proofs.join());
    expect(await proofOn('/cluster', 'anything')).to.equal(undefined);
    expect(await proofOn('/v1/models', challenge)).to.equal(undefined);
  });

  it('the cluster key opens what API keys do', async () => {
    const keys = { apiKeys: ['client'], clusterKeys: ['cluster'] };
    const { app } = await servedApp({ ...keys, engine: moving(), base: CLUSTER });
    expect((await app.inject({ method: 'GET', url: '/v1/models', headers: key('cluster') })).statusCode).to.equal(200);
    expect((await app.inject({ method: 'GET', url: '/v1/models', headers: key('other') })).statusCode).to.equal(401);
  });
});

describe('an instance', () => {
  it('tells what it is, and what its requests are for from now on', async () => {
    const engine = new MovingEngine(playText(''));
    const { app } = await servedApp({ engine, base: { cluster: { enabled: true, id: 'here', role: 'prefill' } } });
    const record = (await app.inject({ method: 'GET', url: '/cluster' })).json<Record<string, unknown>>();
    const { incarnation, ...rest } = record;
    expect(rest).to.deep.equal({
      ...{ id: 'here', url: 'http://127.0.0.1:8000', kind: 'own', role: 'prefill', isDraining: false, model: 'moe-7m' },
      ...{ fingerprint: 'f00d', numRanks: 1, blockSize: 16, maxModelLen: 512, numKvBlocks: 1024 },
      sharing: { seed: hash('sha256', 'salt', 'hex'), separatesForms: false },
      isPooled: true,
    });
    const flip = await app.inject({ method: 'POST', url: '/role', payload: { role: 'decode' } });
    expect(flip.json()).to.include({ incarnation, role: 'decode' });
    expect((await app.inject({ method: 'GET', url: '/cluster' })).json()).to.include({ role: 'decode' });
  });

  for (const payload of [{}, { role: 'both' }, []]) {
    it(`has no role ${JSON.stringify(payload)}`, async () => {
      const { app } = await servedApp({ engine: moving(), base: CLUSTER });
      expect((await app.inject({ method: 'POST', url: '/role', payload })).statusCode).to.equal(400);
    });
  }

  it('tells who follows it what it is, and what changes', async () => {
    const { app, server } = await servedApp({ engine: moving(), base: { ...CLUSTER, server: { port: 0 } } });
    const url = await server.listen();
    const { body } = await fetch(`${url}/cluster/events`);
    let told = '';
    const read = async (): Promise<void> => {
      for await (const piece of body!.pipeThrough(new TextDecoderStream())) told += piece;
    };
    const reading = read();
    await app.inject({ method: 'POST', url: '/role', payload: { role: 'decode' } });
    await server.drain();
    await reading;
    const events = told.split('\n\n').filter((block) => block.startsWith('event: '));
    const records = events.filter((block) => block.startsWith('event: record'));
    expect(records.map((block) => block.match(/"role":"\w+"|"isDraining":\w+/g))).to.deep.equal([
      ['"role":"mixed"', '"isDraining":false'],
      ['"role":"decode"', '"isDraining":false'],
      ['"role":"decode"', '"isDraining":true'],
    ]);
    expect(events.at(-1)).to.equal('event: gone\ndata: {}');
  });

  it('has as many ranks as its engine has now', async () => {
    const engine = moving();
    const { app, server } = await servedApp({ engine, base: CLUSTER });
    const events = app.inject({ method: 'GET', url: '/cluster/events' });
    await new Promise(setImmediate);
    engine.numRanks = 3;
    for (const observer of engine.observers) observer.enter?.(epochOf([0, 1, 2], { joined: [1, 2] }));
    await new Promise(setImmediate);
    expect((await app.inject({ method: 'GET', url: '/cluster' })).json()).to.include({
      numRanks: 3,
      numKvBlocks: 3072,
    });
    await server.close();
    expect((await events).body.match(/"numRanks":\d/g)).to.deep.equal(['"numRanks":1', '"numRanks":3']);
  });

  it('has the id that was drawn for it, and the URL where it listens', async () => {
    const { app, server } = await servedApp({ engine: moving(), base: { ...CLUSTER, server: { port: 0 } } });
    const url = await server.listen();
    const { id, url: told } = (await app.inject({ method: 'GET', url: '/cluster' })).json<{
      id: string;
      url: string;
    }>();
    expect(id).to.match(/^instance-[0-9a-f]{12}$/);
    expect(told).to.equal(url);
    await server.close();
  });
});

describe('what an instance can’t be', () => {
  const cases: readonly (readonly [string, PartialConfig, string])[] = [
    ['one whose requests another head goes on with', { server: { journal: '/tmp/no-journal' } }, 'server.journal'],
    ['one whose experts are chosen by the number of a request', { experts: { routing: 'uniform' } }, 'experts.routing'],
  ];
  for (const [title, base, key] of cases) {
    it(title, async () => {
      const config = await loadConfig({ base: { model: DEMO_MODEL, ...CLUSTER, ...base } });
      const error = await thrownBy(ConfigError, () => checkServer(config, moving().spec));
      expect(error.key).to.equal(key);
    });
  }

  it('its routes are in /openapi.json, with what they take and answer', async () => {
    const { app } = await servedApp({ engine: moving(), base: CLUSTER });
    const { paths } = (await app.inject({ method: 'GET', url: '/openapi.json' })).json<{
      paths: Record<string, object>;
    }>();
    for (const path of ['/cluster', '/role', '/v1/kv/leases', '/v1/kv/leases/{id}', '/v1/kv/leases/{id}/pause']) {
      expect(paths).to.have.property(path);
    }
    expect(paths['/v1/completions']).to.have.nested.property(
      'post.requestBody.content.application/json.schema.properties.kv_transfer_params',
    );
  });
});
