import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startEngine, generateIds } from '../../../kit/engine/engines.js';
import { tinyGolden } from '../../../kit/model/goldens.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('experts.placement', () => {
  it('ranks hold what the file says, redundant replicas too, and write the same tokens', async () => {
    const model = tinyModel('tiny-qwen3-moe');
    const golden = tinyGolden('tiny-qwen3-moe');
    await withTempFolder(async (dir) => {
      const linear = await startEngine({ model, ranks: 2 });
      const { phy2log } = linear.placement;
      const numExperts = linear.placement.numExperts[0]!;
      await linear.close();
      // Backwards; on rank 0 further an expert of rank 1, on rank 1 an empty slot and an expert twice.
      const half = numExperts / 2;
      const backwards = Array.from({ length: numExperts }, (_, e) => numExperts - 1 - e);
      const table = [...backwards.slice(0, half), 0, 1, ...backwards.slice(half), -1, 2];
      const file = join(dir, 'p.json');
      await writeFile(file, JSON.stringify({ num_ranks: 2, phy2log: phy2log.map(() => table) }));
      const engine = await startEngine({ model, ranks: 2, set: [`experts.placement=${file}`] });
      try {
        expect([...engine.placement.phy2log[0]!]).to.deep.equal(table);
        const { tokenIds } = await generateIds(engine, {
          promptTokenIds: golden.prompt_token_ids,
          maxNewTokens: golden.greedy_token_ids.length,
        });
        expect(tokenIds).to.deep.equal(golden.greedy_token_ids);
      } finally {
        await engine.close();
      }
    });
  }).timeout(60_000);
});
