/** KV blocks on disk that outlive the processes which wrote them. */
import { expect } from 'chai';
import { readdir } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { storedFolders } from '../../lib/rank/store/stored_folders.js';
import { generateIds, startEngine } from '../kit/engine/engines.js';
import { moe7m } from '../kit/paths.js';
import { Processes } from '../kit/processes/processes.js';
import { withTempFolder } from '../kit/temp_folder.js';
import { randomFrom } from '../refs/random.js';

const processes = new Processes();
/** Two prompts fill the cache. */
const SET = ['engine.block_size=4', 'engine.num_kv_blocks=32', 'engine.prefix_cache=exact'];
const NUM_TOKENS = 80;
/** All of the first two prompts, and more: so many the others push out of the cache before the last one comes. */
const NUM_WRITTEN = 50;

describe('a rank that keeps blocks on disk', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  const prompts = [0, 1, 2, 3, 4, 5].map((i) => {
    const random = randomFrom(i + 1);
    return Array.from({ length: NUM_TOKENS }, () => 5 + Math.floor(1000 * random()));
  });

  /** Tokens of all prompts, one after the other; `onToken` after each. */
  async function run(set: readonly string[], onPrompt?: (index: number, pid: number) => Promise<void>) {
    const engine = await startEngine({ model: moe7m(), ranks: 1, reduce: 'source', set: [...SET, ...set] });
    const tokens: (readonly number[])[] = [];
    try {
      for (const [i, promptTokenIds] of prompts.entries()) {
        await onPrompt?.(i, engine.stats().loadReports[0]!.pid);
        const request = { promptTokenIds, maxNewTokens: 8, returnRoutedExperts: false };
        tokens.push((await generateIds(engine, request)).tokenIds);
      }
      return { tokens, tiers: engine.stats().tiers };
    } finally {
      await engine.close();
    }
  }

  it('killed while it writes, finds what it wrote in its next life, and computes the same tokens', () =>
    withTempFolder(async (path) => {
      const tiers = `engine.kv_tiers=[{disk: {path: ${path}, size: 1GiB}}]`;
      const { tokens } = await run(['engine.prefix_cache=off']);
      const killed = run([tiers], async (index, pid) => {
        if (index < prompts.length - 1) return;
        while (!(await storedFolders(path)).some(({ numBlocks }) => numBlocks >= NUM_WRITTEN)) await turn();
        setImmediate(() => process.kill(pid, 'SIGKILL'));
      });
      await killed.then(
        () => expect.fail('it was killed'),
        (error: unknown) => expect(error).to.include({ code: 'RANK_LOST' }),
      );
      const [folder] = await storedFolders(path);
      expect(folder).to.include({ number: 0, pid: null });
      expect(folder!.numBlocks).to.be.at.least(NUM_WRITTEN);
      const later = await run([tiers]);
      expect(later.tokens).to.deep.equal(tokens);
      expect(later.tiers).to.have.length(1);
      expect(later.tiers[0]!.numHits).to.be.above(0);
      expect((await readdir(path, { recursive: true })).filter((name) => name.endsWith('.part'))).to.deep.equal([]);
    }));
});
