import { expect } from 'chai';
import { appendFile, cp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Inputs } from '../../../../lib/experiment/file/inputs.js';
import { MEASURES } from '../../../../lib/experiment/measures/measures.js';
import { plannedRun } from '../../../kit/experiment/planned_run.js';
import { tinyModel } from '../../../kit/paths.js';
import { withTempFolder } from '../../../kit/temp_folder.js';

describe('what a run reads', () => {
  it('has another digest where a model gets a tokenizer, or another one', () =>
    withTempFolder(async (dir) => {
      const model = join(dir, 'model');
      await cp(tinyModel('tiny-mixtral'), model, { recursive: true });
      const run = await plannedRun('generate');
      const digests = () => new Inputs().digestsOf({ ...run, config: { ...run.config, model } }, MEASURES.generate);
      const [none] = await digests();
      await writeFile(join(model, 'tokenizer.json'), '{}');
      const [first] = await digests();
      expect(await digests()).to.deep.equal([first]);
      await appendFile(join(model, 'tokenizer.json'), '\n');
      const [second] = await digests();
      expect(new Set([none, first, second]).size).to.equal(3);
    }));
});
