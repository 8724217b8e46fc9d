import { expect } from 'chai';
import { EngineError } from '../../../lib/protocol/errors.js';
import { errorOf, servedApp } from '../../kit/server/served_app.js';

describe('the health of a server', () => {
  for (const [method, url] of [
    ['GET', '/health'],
    ['GET', '/ping'],
    ['POST', '/ping'],
  ] as const) {
    it(`${method} ${url} is 200 while the engine works, and 503 once it failed`, async () => {
      const { app, engine } = await servedApp();
      expect((await app.inject({ method, url })).statusCode).to.equal(200);
      engine.failure = new EngineError('RANK_LOST', 'rank 1 was killed; start again');
      const answer = await app.inject({ method, url });
      expect(answer.statusCode).to.equal(503);
      expect(answer.json()).to.deep.equal({
        error: {
          message: 'rank 1 was killed; start again',
          type: 'server_error',
          param: null,
          code: 'engine_failed',
        },
      });
    });
  }

  it('names what there is where a path or a method is wrong', async () => {
    const { app } = await servedApp();
    const wrongPath = await app.inject({ method: 'GET', url: '/helth?x=1' });
    expect([wrongPath.statusCode, errorOf(wrongPath).code]).to.deep.equal([404, 'not_found']);
    const wrongMethod = await app.inject({ method: 'DELETE', url: '/ping' });
    expect([wrongMethod.statusCode, wrongMethod.headers.allow]).to.deep.equal([405, 'GET, HEAD, POST']);
  });
});
