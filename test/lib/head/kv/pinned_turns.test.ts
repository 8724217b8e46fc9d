/** Conversations that are pinned for a time, in a cache alone and with tiers below it. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { startLocalEngine, type LocalEngine } from '../../../kit/engine/local_engine.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const MODEL = 'tiny-qwen3-moe';
const SAID = tinyGolden(MODEL).prompt_token_ids;
const NUM_NEW = 4;

/** A turn's tokens, and how many of its prompt were there already. */
async function turn({ engine }: LocalEngine, promptTokenIds: readonly number[], pinMs = 0) {
  const tokenIds: number[] = [];
  for await (const event of engine.generate({ promptTokenIds, maxNewTokens: NUM_NEW, ignoreEos: true, pinMs })) {
    if (event.kind === 'token') tokenIds.push(event.tokenId);
    if (event.kind === 'finished') return { tokenIds, numCachedTokens: event.numCachedTokens };
  }
  throw new Error('no finished event');
}

describe('turns that are pinned', function () {
  this.timeout(60_000);

  /** A block takes 3 KiB. */
  const withTiers = (path: string): readonly (readonly [name: string, tiers: string])[] => [
    ['a cache alone', '[]'],
    ['memory below it', '[{ram: 24KiB}]'],
    ['memory and a disk below it', `[{ram: 12KiB}, {disk: {path: ${path}, size: 30KiB}}]`],
  ];

  it('are found by the next one, whatever came between; what isn’t pinned is gone', () =>
    withTempFolder(async (path) => {
      for (const [name, tiers] of withTiers(path)) {
        const set = ['engine.block_size=4', 'engine.num_kv_blocks=12', `engine.kv_tiers=${tiers}`];
        const local = await startLocalEngine(tinyModel(MODEL), { numRanks: 1, set });
        try {
          const first = SAID.slice(0, 9);
          const { tokenIds } = await turn(local, first, 60_000);
          const other = [...SAID.slice(0, 9)].reverse();
          await turn(local, other);
          for (let i = 1; i <= 24; i++) await turn(local, SAID.map((id) => (id + i) % 96).slice(0, 9));
          const again = await turn(local, [...first, ...tokenIds, ...SAID.slice(0, 2)]);
          expect(again.numCachedTokens, name).to.equal(12);
          expect((await turn(local, [...other, ...SAID.slice(0, 2)])).numCachedTokens, name).to.equal(0);
          expect(local.engine.load.ranks[0], name).to.include({ numUsedBlocks: 0, numPinnedBlocks: 3 });
        } finally {
          await local.close();
        }
      }
    }));
});
