import { expect } from 'chai';
import { errorOf, servedApp, type ServedAppOptions } from '../../../kit/server/served_app.js';

type Answer = readonly [status: number, code: string | null];

const statusOf = async (
  options: ServedAppOptions,
  url: string,
  headers: Readonly<Record<string, string>> = {},
  method: 'GET' | 'POST' | 'OPTIONS' = 'GET',
): Promise<Answer> => {
  const { app } = await servedApp(options);
  const answer = await app.inject({ method, url, headers: { host: 'localhost:8000', ...headers } });
  return [answer.statusCode, answer.statusCode < 400 ? null : errorOf(answer).code];
};

describe('API keys', () => {
  const keyed: ServedAppOptions = { apiKeys: ['first', 'second'] };
  const cases: readonly (readonly [string, Readonly<Record<string, string>>, Answer])[] = [
    ['any of several keys is taken', { authorization: 'Bearer second' }, [200, null]],
    ['the scheme is read in any case', { authorization: 'bearer first' }, [200, null]],
    ['no key is 401', {}, [401, 'invalid_api_key']],
    ['a wrong key is 401', { authorization: 'Bearer thirdd' }, [401, 'invalid_api_key']],
    ['an empty key is 401', { authorization: 'Bearer ' }, [401, 'invalid_api_key']],
    ['another scheme is 401', { authorization: 'Basic first' }, [401, 'invalid_api_key']],
    ['two keys in one are 401', { authorization: 'Bearer first,second' }, [401, 'invalid_api_key']],
  ];
  for (const [title, headers, expected] of cases) {
    it(title, async () => expect(await statusOf(keyed, '/v1/models', headers)).to.deep.equal(expected));
  }

  it('health and version need none', async () => {
    expect(await statusOf(keyed, '/health')).to.deep.equal([200, null]);
    expect(await statusOf(keyed, '/version')).to.deep.equal([200, null]);
  });

  it('a path that does not exist is 404 with and without a key', async () => {
    expect(await statusOf(keyed, '/nothing')).to.deep.equal([404, 'not_found']);
  });

  it('the answer says how to send one', async () => {
    const { app } = await servedApp(keyed);
    const answer = await app.inject({ method: 'GET', url: '/v1/models' });
    expect(answer.headers['www-authenticate']).to.equal('Bearer');
  });
});

describe('what is for clients of this machine alone', () => {
  const open: ServedAppOptions = { base: { server: { host: '0.0.0.0' } } };
  const cases: readonly (readonly [host: string, Answer])[] = [
    ['localhost:8000', [200, null]],
    ['LOCALHOST', [200, null]],
    ['127.0.0.1:8000', [200, null]],
    ['[::1]:8000', [200, null]],
    ['evil.example', [403, 'local_only']], // its page has this name lead here
    ['0.0.0.0:8000', [403, 'local_only']],
  ];
  for (const [host, expected] of cases) {
    it(`answers a browser of this machine that calls it '${host}' with ${expected[0]}`, async () => {
      const headers = { host, origin: `http://${host.toLowerCase()}` };
      expect(await statusOf(open, '/experts/record', headers)).to.deep.equal(expected);
    });
  }
});

describe('the Host header', () => {
  const cases: readonly (readonly [string, Answer])[] = [
    ['localhost:8000', [200, null]],
    ['LOCALHOST', [200, null]],
    ['127.0.0.1:9', [200, null]],
    ['[::1]:8000', [200, null]],
    ['evil.example', [403, 'host_not_allowed']],
    ['localhost.evil.example', [403, 'host_not_allowed']],
    ['localhost:8000@evil', [403, 'host_not_allowed']],
  ];
  for (const [host, expected] of cases) {
    it(`'${host}' at a server on loopback is ${expected[0]}`, async () => {
      expect(await statusOf({}, '/health', { host })).to.deep.equal(expected);
    });
  }

  it('may be a name of allowed_hosts', async () => {
    const base = { server: { allowed_hosts: ['Moe.Lan'] } };
    expect(await statusOf({ base }, '/health', { host: 'moe.lan:80' })).to.deep.equal([200, null]);
  });

  it('may be any at a server on another address, until allowed_hosts says which', async () => {
    const open = { server: { host: '0.0.0.0' } };
    expect(await statusOf({ base: open }, '/health', { host: 'anything' })).to.deep.equal([200, null]);
    const named = { server: { host: '0.0.0.0', allowed_hosts: ['moe.lan'] } };
    expect(await statusOf({ base: named }, '/health', { host: 'anything' })).to.deep.equal([403, 'host_not_allowed']);
    expect(await statusOf({ base: named }, '/health', { host: 'moe.lan' })).to.deep.equal([200, null]);
  });
});

describe('the Origin header', () => {
  const listed: ServedAppOptions = { base: { server: { cors_origins: ['https://chat.example'] } }, apiKeys: ['key'] };

  it("is the server's own, or the request is 403", async () => {
    expect(await statusOf({}, '/health', { origin: 'http://localhost:8000' })).to.deep.equal([200, null]);
    expect(await statusOf({}, '/health', { origin: 'http://localhost:9000' })).to.deep.equal([
      403,
      'origin_not_allowed',
    ]);
    expect(await statusOf({}, '/health', { origin: 'null' })).to.deep.equal([403, 'origin_not_allowed']);
  });

  it('may be one of cors_origins, which the answer repeats', async () => {
    const { app } = await servedApp(listed);
    const headers = { host: 'localhost', origin: 'https://chat.example' };
    const answer = await app.inject({ method: 'GET', url: '/health', headers });
    expect(answer.statusCode).to.equal(200);
    expect(answer.headers['access-control-allow-origin']).to.equal('https://chat.example');
    expect(answer.headers.vary).to.equal('origin');
  });

  it('a browser that asks before it calls needs no key, and hears what it may send', async () => {
    const { app } = await servedApp(listed);
    const headers = {
      host: 'localhost',
      origin: 'https://chat.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, content-type',
    };
    const answer = await app.inject({ method: 'OPTIONS', url: '/v1/chat/completions', headers });
    expect(answer.statusCode).to.equal(204);
    expect(answer.headers['access-control-allow-headers']).to.equal('authorization, content-type');
    const other = { ...headers, origin: 'https://evil.example' };
    expect((await app.inject({ method: 'OPTIONS', url: '/v1/chat/completions', headers: other })).statusCode).to.equal(
      403,
    );
  });

  it('may be any where cors_origins is "*"', async () => {
    const base = { server: { cors_origins: ['*'] } };
    expect(await statusOf({ base }, '/health', { origin: 'https://any.example' })).to.deep.equal([200, null]);
  });
});

describe('limits and names of requests', () => {
  it('a long URL is 414', async () => {
    const url = `/health?${'x'.repeat(2048)}`;
    expect(await statusOf({}, url)).to.deep.equal([414, 'url_too_long']);
  });

  it('a URL that is none is 400 in the form of every error', async () => {
    expect(await statusOf({}, '/health%')).to.deep.equal([400, 'invalid_request']);
  });

  it("a request keeps its client's name where that is fit for a log, and gets one otherwise", async () => {
    const { app } = await servedApp();
    const nameOf = async (given: string): Promise<unknown> =>
      (await app.inject({ method: 'GET', url: '/health', headers: { 'x-request-id': given } })).headers['x-request-id'];
    expect(await nameOf('trace-1.a:b')).to.equal('trace-1.a:b');
    expect(await nameOf('two words')).to.match(/^[0-9a-f-]{36}$/);
    expect(await nameOf('x'.repeat(129))).to.match(/^[0-9a-f-]{36}$/);
  });
});
