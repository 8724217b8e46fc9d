import { expect } from 'chai';
import { PlayedEngine, playText } from '../../kit/server/played_engine.js';
import { errorOf, post, servedApp } from '../../kit/server/served_app.js';

describe('POST /reset_prefix_cache', () => {
  for (const [isIdle, status, told] of [
    [true, 200, '{}'],
    [false, 409, 'conflict'],
  ] as const) {
    it(`is ${status} while ${isIdle ? 'nothing runs' : 'requests run'}`, async () => {
      let numResets = 0;
      const engine = Object.assign(new PlayedEngine(playText('')), {
        resetPrefixCache: () => {
          numResets++;
          return isIdle;
        },
      });
      const { app } = await servedApp({ engine });
      const answer = await post(app, '/reset_prefix_cache', {});
      expect(answer.statusCode).to.equal(status);
      expect(isIdle ? answer.body : errorOf(answer).code).to.equal(told);
      expect(numResets).to.equal(1);
    });
  }

  it('is for clients of this machine alone, unless they have a key', async () => {
    const { app } = await servedApp({ base: { server: { host: '0.0.0.0' } } });
    const elsewhere = { method: 'POST', url: '/reset_prefix_cache', remoteAddress: '10.0.0.9' } as const;
    expect(errorOf(await app.inject(elsewhere)).code).to.equal('local_only');
    const { app: keyed } = await servedApp({ apiKeys: ['key'] });
    const headers = { authorization: 'Bearer key' };
    expect(errorOf(await keyed.inject({ ...elsewhere, headers })).code).to.equal('unsupported');
  });
});
