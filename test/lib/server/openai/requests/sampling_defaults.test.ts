import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSamplingDefaults } from '../../../../../lib/server/openai/requests/sampling_defaults.js';
import { withTempFolder } from '../../../../kit/temp_folder.js';

const NEUTRAL = { temperature: 1, top_p: 1, top_k: 0, min_p: 0, repetition_penalty: 1 };

describe('sampling of a request that says nothing', () => {
  it("is the model's generation_config.json, where that has values that can be, and neutral elsewhere", () =>
    withTempFolder(async (dir) => {
      await writeFile(join(dir, 'config.json'), '{}');
      expect(await readSamplingDefaults(dir)).to.deep.equal(NEUTRAL);
      const given = { do_sample: false, temperature: 0.6, top_k: 20, top_p: 2, repetition_penalty: 'much' };
      await writeFile(join(dir, 'generation_config.json'), JSON.stringify(given));
      expect(await readSamplingDefaults(dir)).to.deep.equal({ ...NEUTRAL, temperature: 0.6, top_k: 20 });
    }));
});
