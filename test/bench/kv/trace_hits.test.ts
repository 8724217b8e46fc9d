import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { traceHits } from '../../../bench/kv/trace_hits.js';
import { withTempFolder } from '../../kit/temp_folder.js';

describe('hits of a whole trace', () => {
  it('are those of one cache without end where instances share and keep what they have', () =>
    withTempFolder(async (dir) => {
      const path = join(dir, 'trace.jsonl');
      // A prompt of 300 blocks that goes round among others of as many, whose first block all have.
      const idsOf = (i: number): number[] => Array.from({ length: 300 }, (_, k) => (k === 0 ? 0 : 300 * (i % 40) + k));
      const lines = Array.from({ length: 120 }, (_, i) => ({
        ...{ timestamp: 1000 * i, input_length: 300 * 512, output_length: 512, hash_ids: idsOf(i) },
      }));
      await writeFile(path, lines.map((line) => JSON.stringify(line)).join('\n'));
      const rows = await traceHits(path, 'mine', 1 / 512);
      expect(rows.map(({ setup }) => setup)).to.deep.equal(['per instance', 'pooled', 'per instance, tiers', 'pooled, tiers']); // prettier-ignore
      const ratio = (index: number): number => rows[index]!.hit_ratio as number;
      expect(rows[0]).to.include({ load: 'mine, whole', requests: 120, prompt_tokens: 36_000 });
      expect(ratio(0), 'the caches are too small').to.be.below(0.5);
      expect(ratio(2)).to.be.above(ratio(0));
      expect(ratio(3)).to.be.within(0.98, 1);
    }));
});
