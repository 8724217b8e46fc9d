/** Tiers whose files are damaged, whose rank is lost, and of caches that are read asynchronously. Everything but sockets and processes is real. */
import { expect } from 'chai';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { KvTier } from '../../../../lib/protocol/kv_store.js';
import type { TierCounts } from '../../../../lib/protocol/kv_use.js';
import { expectEmptied, talkTo, type Talked } from '../../../kit/engine/conversations.js';
import { startLocalEngine, type LocalEngineOptions, type Moment } from '../../../kit/engine/local_engine.js';
import { replicated } from '../../../kit/engine/placements.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

const MODEL = 'tiny-qwen3-moe';
const TALK = { numConversations: 4, turns: [9, 6, 3], numNew: 9, words: tinyGolden(MODEL).prompt_token_ids };

interface Life {
  readonly set: readonly string[];
  readonly isAtOnce?: boolean;
  /** It begins when so many blocks of an earlier life are found. Default 0. */
  readonly numFound?: number;
  readonly options?: Partial<LocalEngineOptions>;
}

/** `isLast`: everything is forgotten in the end. */
async function talk({ set, isAtOnce = false, numFound = 0, options }: Life, isLast = true): Promise<Talked> {
  const own = [
    'engine.block_size=4',
    'engine.max_num_batched_tokens=11',
    'engine.max_num_seqs=4',
    'engine.kv_bring=always',
  ];
  const local = await startLocalEngine(tinyModel(MODEL), { numRanks: 1, ...options, set: [...own, ...set] });
  try {
    while ((local.engine.load.ranks[0]!.tiers[0]?.numBlocks ?? 0) < numFound) await turn();
    const talked = await talkTo(local, { ...TALK, isAtOnce });
    if (isLast) expectEmptied(local);
    return talked;
  } finally {
    await local.close();
  }
}

const countsOf = ({ stats }: Talked, tier: KvTier): TierCounts => stats.tiers.find((each) => each.tier === tier)!;

function expectSame(talked: Talked, { tokenIds, bits }: Talked): void {
  expect(talked.tokenIds).to.deep.equal(tokenIds);
  expect(talked.bits).to.deep.equal(bits);
}

describe('tiers of a rank', function () {
  this.timeout(60_000);

  it('serve caches that are read asynchronously', async () => {
    const set = ['engine.num_kv_blocks=14', 'compute=tensors'];
    const none = await talk({ set });
    const tiered = await talk({ set: [...set, 'engine.kv_tiers=[{ram: 1MiB}]'] });
    expectSame(tiered, none);
    expect(countsOf(tiered, 'ram').numLoaded).to.be.above(0);
  });

  it('whose files were cut or changed lose those, which are computed anew with the same bits', () =>
    withTempFolder(async (folder) => {
      const set = ['engine.num_kv_blocks=14', `engine.kv_tiers=[{disk: {path: ${folder}, size: 1MiB}}]`];
      const first = await talk({ set }, false);
      const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.kv'));
      for (const [i, name] of names.entries()) {
        const path = join(folder, name);
        const bytes = readFileSync(path);
        if (i % 2 === 0) bytes[Math.floor((bytes.length * i) / names.length)]! ^= 1;
        writeFileSync(path, i % 4 === 1 ? bytes.subarray(0, -1) : bytes);
      }
      const again = await talk({ set, numFound: 1 });
      expectSame(again, first);
      expect(countsOf(again, 'disk').numLost).to.be.above(0);
      expect(countsOf(again, 'disk').numLoaded).to.be.above(0);
    }));

  const moments: readonly Moment[] = [
    { kind: 'message', message: 'lifted', nth: 2 },
    { kind: 'after_step', step: 30 },
  ];
  for (const moment of moments) {
    it(`go with a rank that is lost (${moment.kind}), and its sequences are computed anew with the same bits`, async () => {
      const none = await talk({ set: ['engine.prefix_cache=off'] });
      const faults = [{ rank: 1, at: moment }];
      const options = { numRanks: 2, placement: replicated(2), onPeerLoss: 'mask', faults } as const;
      const set = ['engine.num_kv_blocks=12', 'engine.kv_tiers=[{ram: 1MiB}]'];
      const cut = await talk({ set, options, isAtOnce: true });
      expectSame(cut, none);
      expect(cut.stats.lostRanks).to.deep.equal([1]);
      expect(countsOf(cut, 'ram').numLoaded).to.be.above(0);
    });
  }
});
