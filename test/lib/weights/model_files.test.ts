import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WeightError } from '../../../lib/weights/errors.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

describe('model files', () => {
  it('hands out config.json, its bytes and generation_config.json', async () => {
    const files = await readModelFiles(moe7m());
    expect(files.config.model_type).to.equal('deepseek_v3');
    expect(JSON.parse(Buffer.from(files.configBytes).toString())).to.deep.equal(files.config);
    expect(files.generationConfig?.eos_token_id).to.equal(1);
  });

  it('generation_config.json may be missing', async () => {
    expect((await readModelFiles(tinyModel('tiny-qwen3-moe'))).generationConfig).to.equal(undefined);
  });

  it('a folder without config.json, and a folder that does not exist, are refused with what was looked for', async () => {
    await withTempFolder(async (dir) => {
      for (const folder of [dir, join(dir, 'nowhere')]) {
        const error = await errorOf(WeightError, () => readModelFiles(folder));
        expect(error.code).to.equal('MODEL_NOT_FOUND');
        expect(error.file).to.equal(join(folder, 'config.json'));
        expect(error.message)
          .to.contain(error.file)
          .and.match(/give a folder in Hugging Face layout/);
      }
    });
  });

  const WRONG: readonly (readonly [claim: string, text: string | Uint8Array, message: RegExp])[] = [
    ['is empty', '', /not valid JSON/],
    ['is cut off', '{"hidden_size": 48', /not valid JSON/],
    ['is a list', '[]', /not a JSON object/],
    ['is not UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d), /not valid JSON/],
    ['holds a key twice', '{"a": 1, "b": {"c": 1, "c": 2}}', /holds the key "c" twice/],
  ];
  for (const [claim, text, message] of WRONG) {
    it(`a config.json that ${claim} is refused`, async () => {
      await withTempFolder(async (dir) => {
        await writeFile(join(dir, 'config.json'), text);
        const error = await errorOf(WeightError, () => readModelFiles(dir));
        expect(error.code).to.equal('INVALID_JSON');
        expect(error.message).to.match(message);
      });
    });
  }
});
