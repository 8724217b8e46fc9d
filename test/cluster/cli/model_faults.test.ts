/** The command line as a user meets it: faults of a model folder are told plainly. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { changeJson, copyModel } from '../../kit/model/model_copy.js';
import { moe7m, tinyModel } from '../../kit/paths.js';
import { Processes } from '../../kit/processes/processes.js';
import { withTempFolder } from '../../kit/temp_folder.js';
import { commandLine, expectFailure } from '../../kit/processes/command_line.js';

const processes = new Processes();
const expertwire = commandLine(processes);
const QWEN = tinyModel('tiny-qwen3-moe');

describe('a model folder with a fault', function () {
  this.timeout(60_000);

  afterEach(processes.expectNone);

  const withModel = (from: string, use: (dir: string) => Promise<void>): Promise<void> =>
    withTempFolder(async (dir) => {
      await copyModel(from, dir);
      await use(dir);
    });

  it('an unknown model_type: exit code 1 and what is supported', async () => {
    await withModel(QWEN, async (dir) => {
      await changeJson(join(dir, 'config.json'), { model_type: 'llama' });
      const ended = await expertwire(['generate', '--model', dir, '--prompt-ids', '1,2']);
      expectFailure(ended, 1, 'UNSUPPORTED_MODEL', 'llama', 'deepseek_v3', 'qwen3_moe');
    });
  });

  it('a folder without config.json: exit code 1', async () => {
    await withTempFolder(async (dir) => {
      expectFailure(
        await expertwire(['generate', '--model', dir, '--prompt-ids', '1,2']),
        1,
        'MODEL_NOT_FOUND',
        'config.json',
      );
    });
  });

  it('a tokenizer with more ids than the model: exit code 1, both numbers, and no rank was started', async () => {
    await withModel(QWEN, async (dir) => {
      await writeFile(join(dir, 'tokenizer.json'), await readFile(join(moe7m(), 'tokenizer.json')));
      const ended = await expertwire(['generate', '--model', dir, '--prompt', 'x']);
      expectFailure(ended, 1, 'VOCAB_MISMATCH', '2047', '96');
    });
  });

  it('a malformed tokenizer.json: exit code 1 and the file', async () => {
    await withModel(QWEN, async (dir) => {
      await writeFile(join(dir, 'tokenizer.json'), '{"model": {');
      const ended = await expertwire(['generate', '--model', dir, '--prompt', 'x']);
      expectFailure(ended, 1, 'INVALID_TOKENIZER', 'tokenizer.json', 'not valid JSON');
    });
  });

  it('truncated weights: exit code 1, the rank, the file and both sizes', async () => {
    await withModel(QWEN, async (dir) => {
      const file = join(dir, 'model.safetensors');
      const bytes = await readFile(file);
      await writeFile(file, bytes.subarray(0, -100));
      const ended = await expertwire(['generate', '--model', dir, '--prompt-ids', '1,2']);
      expectFailure(
        ended,
        1,
        /^expertwire: MALFORMED_SAFETENSORS: rank 0 on /,
        'model.safetensors',
        `${bytes.length - 100} bytes`,
      );
    });
  });
});
