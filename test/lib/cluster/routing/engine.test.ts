import { expect } from 'chai';
import type { RoutingPolicy } from '../../../../lib/cluster/base/routed_request.js';
import { blockSharingOf } from '../../../../lib/cluster/routing/prompt_keys.js';
import { RoutingTable } from '../../../../lib/cluster/routing/routing_table.js';
import { askedOf, recordOf } from '../../../kit/cluster/views.js';
import { startLocalEngine, type LocalEngine } from '../../../kit/engine/local_engine.js';
import { tinyModel } from '../../../kit/paths.js';
import { randomFrom } from '../../../refs/random.js';

/** What came of a prompt: its tokens, and how many of the prompt were in the cache. */
async function generated({ engine }: LocalEngine, promptTokenIds: readonly number[], maxNewTokens: number) {
  const tokenIds: number[] = [];
  let numCachedTokens = NaN;
  for await (const event of engine.generate({ promptTokenIds, maxNewTokens, ignoreEos: true })) {
    if (event.kind === 'token') tokenIds.push(event.tokenId);
    if (event.kind === 'finished') numCachedTokens = event.numCachedTokens;
  }
  return { tokenIds, numCachedTokens };
}

describe('a router before a real engine', () => {
  /** `auto`: blocks with generated tokens have keys of their own. */
  for (const mla of ['absorbed', 'auto'] as const)
    it(`mla ${mla}: knows of each prompt how many tokens the engine will find in its cache, whatever was evicted`, async () => {
      const local = await startLocalEngine(tinyModel('tiny-deepseek-v3'), {
        mla,
        numRanks: 1,
        set: ['engine.block_size=4', 'engine.num_kv_blocks=24'],
      });
      try {
        const { engine } = local;
        const { blockSize } = engine.limits;
        let numCachedTokens = NaN;
        const policy: RoutingPolicy = (_request, [only]) => {
          numCachedTokens = only!.numCachedTokens;
          return { kind: 'routed', instance: 'a' };
        };
        const table = new RoutingTable({ policy, usesEvents: true, ttlMs: 1, maxBlocks: 1000, lengthBuckets: [64], sessions: { ttlMs: 1, maxSessions: 1 }, localPrefillTokens: 0, replication: null }); // prettier-ignore
        const sharing = blockSharingOf(engine.prefixSharing);
        expect(sharing!.separatesForms).to.equal(mla === 'auto');
        table.join(recordOf('a', { blockSize, numKvBlocks: 24, sharing }));
        const stored = engine.storedBlocks!;
        const hex = (keys: readonly string[]): string[] =>
          keys.map((key) => Buffer.from(key, 'binary').toString('hex'));
        const random = randomFrom(3);
        const dialogues: number[][] = [];
        const found: number[] = [];
        for (let sequence = 0; sequence < 40; sequence++) {
          // Some go on with what was said, some begin alike and some anew.
          const before = dialogues[Math.floor(random() * dialogues.length * 1.5)] ?? [];
          const kept = random() < 0.5 ? before : before.slice(0, Math.floor(random() * before.length));
          const said = Array.from({ length: 1 + Math.floor(random() * 12) }, () => 1 + Math.floor(random() * 60));
          const prompt = [...kept.slice(0, 50), ...said];
          table.route(askedOf(prompt), 0);
          const { tokenIds, numCachedTokens: really } = await generated(local, prompt, 6);
          expect(really, `prompt ${sequence}`).to.equal(numCachedTokens);
          found.push(really);
          dialogues.push([...prompt, ...tokenIds]);
          const { stored: come, removed } = stored.take();
          const events = [{ kind: 'stored' as const, keys: hex(come) }, { kind: 'removed' as const, keys: hex(removed) }]; // prettier-ignore
          expect(table.apply({ instance: 'a', incarnation: 'x', sequence, events })).to.equal('applied');
        }
        expect(found.filter((count) => count > 0).length, 'prompts that began alike').to.be.above(5);
        expect(engine.stats().numEvictedBlocks, 'blocks that made room').to.be.above(20);
      } finally {
        await local.close();
      }
    });
});
