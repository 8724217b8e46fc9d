/** Blocks of models with states, read on one rank and written on another. */
import { expect } from 'chai';
import { InternalError } from '../../../base/coded_error.js';
import { CacheRanks } from '../../kit/model/cache_ranks.js';
import { readConformance, writeConformanceModel } from '../../kit/model/conformance.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { isSameBits } from '../../refs/random.js';

const BLOCK_SIZE = 4;
/** As many blocks move. */
const MOVED = 3;

for (const family of ['lfm2_moe', 'qwen3_next']) {
  for (const numMemories of [1, 2]) {
    it(`a sequence of ${family} goes on in the cache of another rank, with the same bits, from ${numMemories} memories`, () =>
      withTempFolder(async (dir) => {
        const { tokens, cases } = readConformance(family);
        await writeConformanceModel(dir, cases[0]!, new Map());
        const ranks = await CacheRanks.start(dir, {
          blockSize: BLOCK_SIZE,
          numMemories,
          residence: { compute: 'kernels' },
        });
        try {
          const before = ranks.held();
          const end = MOVED * BLOCK_SIZE;
          const [here, there] = [
            [7, 3, 5, 1, 2, 4],
            [2, 6, 0, 9, 8, 4],
          ];
          const whole = { position: 0, blocks: here, isPrompt: true, state: { sequence: 1, keeps: [end] } };
          const expected = await ranks.run(0, tokens, whole);
          for (let i = 0; i < MOVED; i++) ranks.cache(1).write(there[i]!, await ranks.cache(0).read(here[i]!));
          const rest = { position: end, blocks: there, isPrompt: true, state: { sequence: 9, keeps: [] } };
          expect(isSameBits(await ranks.run(1, tokens.slice(end), rest), expected)).to.equal(true);
          const early = { ...rest, position: BLOCK_SIZE, state: { sequence: 10, keeps: [] } };
          const lacking = await errorOf(InternalError, () => ranks.run(1, tokens.slice(BLOCK_SIZE), early));
          expect(lacking.message, 'that block keeps no state').to.contain('without a state');
          for (const rank of [0, 1]) {
            ranks.cache(rank).free([...here, ...there]);
            ranks.cache(rank).states!.end([1, 9, 10]);
          }
          expect(ranks.held(), 'nothing is left behind').to.deep.equal(before);
        } finally {
          await ranks.close();
        }
      }));
  }
}
