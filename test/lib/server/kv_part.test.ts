import { expect } from 'chai';
import { loadConfig } from '../../../lib/config/load.js';
import { DEMO_MODEL } from '../../../lib/config/package_files.js';
import { createServer } from '../../../lib/server/create_server.js';
import { PlayedEngine, playText } from '../../kit/server/played_engine.js';
import { errorOf, post, servedApp } from '../../kit/server/served_app.js';
import { StagedEngine } from '../../kit/server/staged_engine.js';

/** An engine that holds something, and forgets it while nothing runs. */
function keeping(isIdle: boolean): StagedEngine & { numResets: number } {
  const engine = new StagedEngine({ numRanks: 2, numLayers: 1, numExperts: 4 });
  const disk = { tier: 'disk', numBlocks: 3, numBytes: 300, maxBytes: 1000 } as const;
  const held = { numRunning: 0, numUsedBlocks: 0, numCachedBlocks: 5, numPinnedBlocks: 2 };
  engine.load = engine.loadOf(0, (rank) => ({ ...held, tiers: rank === 0 ? [disk] : [] }));
  const counts = { numQueries: 70, numHits: 30, numLoaded: 2, loadedBytes: 200 };
  const tiers = [{ tier: 'disk', ...counts, numStored: 4, storedBytes: 400, numLost: 1 }] as const;
  engine.counts = {
    ...engine.counts,
    numPrefixQueries: 100,
    numPrefixHits: 30,
    numEvictedBlocks: 9,
    numRefusedPins: 4,
    tiers,
  };
  return Object.assign(engine, {
    numResets: 0,
    resetPrefixCache(this: { numResets: number }) {
      this.numResets++;
      return isIdle;
    },
  });
}

const served = async (engine: StagedEngine) =>
  (await createServer(engine, { config: await loadConfig({ base: { model: DEMO_MODEL } }) })).app;

describe('keys and values of a server', () => {
  it('GET /v1/kv says what lies where, and what was found there', async () => {
    const app = await served(keeping(true));
    const answer = JSON.parse((await app.inject({ url: '/v1/kv' })).body) as Record<string, unknown>;
    const cache = { blocks: 1000, used_blocks: 0, cached_blocks: 5, pinned_blocks: 2 };
    const disk = { tier: 'disk', blocks: 3, bytes: 300, max_bytes: 1000 };
    expect(answer.ranks).to.deep.equal([
      { rank: 0, ...cache, tiers: [disk] },
      { rank: 1, ...cache, tiers: [] },
    ]);
    expect(answer.cache).to.deep.equal({ queried_tokens: 100, hit_tokens: 30, evicted_blocks: 9, refused_pins: 4 });
    const counts = { stored_blocks: 4, stored_bytes: 400, loaded_blocks: 2, loaded_bytes: 200, lost_blocks: 1 };
    expect(answer.tiers).to.deep.equal([{ tier: 'disk', queried_tokens: 70, hit_tokens: 30, ...counts }]);
    expect(answer.pool).to.include({ queried_tokens: 0, hit_tokens: 0, lent_blocks: 0 });
    expect(answer.block_size).to.equal(16);
  });

  for (const [path, told] of [
    ['/v1/kv/clear', { cleared_blocks: 13 }],
    ['/reset_prefix_cache', {}],
  ] as const) {
    it(`POST ${path} has all of it forgotten, unless requests run`, async () => {
      const idle = keeping(true);
      const cleared = await post(await served(idle), path, {});
      expect([cleared.statusCode, JSON.parse(cleared.body)]).to.deep.equal([200, told]);
      const busy = keeping(false);
      const refused = await post(await served(busy), path, {});
      expect([refused.statusCode, errorOf(refused).code]).to.deep.equal([409, 'conflict']);
      expect([idle.numResets, busy.numResets]).to.deep.equal([1, 1]);
    });

    it(`POST ${path} is for clients of this machine alone, unless they have a key`, async () => {
      const engine = new PlayedEngine(playText(''));
      const { app } = await servedApp({ engine, base: { server: { host: '0.0.0.0' } } });
      const elsewhere = { method: 'POST', url: path, remoteAddress: '10.0.0.9' } as const;
      expect(errorOf(await app.inject(elsewhere)).code).to.equal('local_only');
      const { app: keyed } = await servedApp({ engine, apiKeys: ['key'] });
      const headers = { authorization: 'Bearer key' };
      expect(errorOf(await keyed.inject({ ...elsewhere, headers })).code).to.equal('unsupported');
    });
  }
});
