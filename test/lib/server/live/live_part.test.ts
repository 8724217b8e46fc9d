import { expect } from 'chai';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { loadConfig } from '../../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../../lib/config/package_files.js';
import { createServer, type HttpServer } from '../../../../lib/server/create_server.js';
import { StagedEngine } from '../../../kit/server/staged_engine.js';

async function served(apiKeys: readonly string[] = []): Promise<{ server: HttpServer; engine: StagedEngine }> {
  const engine = new StagedEngine({ numLayers: 1, numExperts: 4, numRanks: 2 });
  const config = await loadConfig({ base: { model: DEMO_MODEL, server: { port: 0 } } });
  return { server: await createServer(engine, { config, apiKeys }), engine };
}

describe('the page over HTTP', () => {
  for (const [path, type] of [
    ['/', 'text/html; charset=utf-8'],
    ['/page.js', 'text/javascript; charset=utf-8'],
    ['/page.css', 'text/css; charset=utf-8'],
  ] as const) {
    it(`${path} needs no key, may run nothing from elsewhere, and is sent once`, async () => {
      const { server } = await served(['secret']);
      const url = `${await server.listen()}${path}`;
      const first = await fetch(url);
      expect(first.status).to.equal(200);
      expect(await first.text()).to.have.length.above(100);
      expect(first.headers.get('content-type')).to.equal(type);
      expect(first.headers.get('cache-control')).to.equal('no-cache');
      const policy = first.headers.get('content-security-policy');
      expect(policy).to.include("default-src 'none'").and.include("script-src 'self'");
      expect(policy).not.to.match(/unsafe|https?:|\*/);
      const again = await fetch(url, { headers: { 'if-none-match': first.headers.get('etag')! } });
      expect([again.status, await again.text()]).to.deep.equal([304, '']);
      await server.close();
    });
  }

  it('names no other host in its document', async () => {
    const { server } = await served();
    const { statusCode, body } = await server.app.inject('/');
    expect(statusCode).to.equal(200);
    expect(body.replaceAll("xmlns='http://www.w3.org/2000/svg'", '')).not.to.match(/https?:|\/\//);
    await server.close();
  });

  it('events need the key', async () => {
    const { server } = await served(['secret']);
    expect((await server.app.inject('/live/events')).statusCode).to.equal(401);
    await server.close();
  });

  it('a request for the head of the events doesn’t watch', async () => {
    const { server } = await served();
    expect((await server.app.inject({ method: 'HEAD', url: '/live/events' })).statusCode).to.equal(405);
    await server.close();
  });

  it('a drain ends the stream, and the server follows its engine no more', async () => {
    const { server, engine } = await served();
    const url = await server.listen();
    const [answer] = (await once(get(`${url}/live/events`), 'response')) as [IncomingMessage];
    expect(answer.headers['content-type']).to.equal('text/event-stream');
    answer.resume();
    const ended = once(answer, 'end');
    await server.drain();
    await ended;
    expect(engine.numWatchers).to.equal(0);
  });
});
