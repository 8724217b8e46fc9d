import { expect } from 'chai';
import fc from 'fast-check';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { UsageError } from '../../../../lib/commands/base/context.js';
import { parseIds, readPrompts } from '../../../../lib/commands/engine/prompts.js';
import { DEFAULTS, type ConfigPrompt, type ExpertwireConfig } from '../../../../lib/config/schema.js';
import { commandContext } from '../../../kit/processes/command_context.js';
import { errorOf } from '../../../kit/rejects.js';
import { withTempFolder } from '../../../kit/temp_folder.js';
import { sentencePieceTokenizer } from '../../../kit/model/tokenizers.js';

const configWith = (prompts: readonly ConfigPrompt[]): ExpertwireConfig => ({
  ...DEFAULTS,
  model: 'm',
  generate: { ...DEFAULTS.generate, prompts },
});

describe('token ids of the command line', () => {
  it('are whole numbers between commas, spaces allowed', () => {
    expect(parseIds('5,17,3')).to.deep.equal([5, 17, 3]);
    expect(parseIds(' 0 , 1')).to.deep.equal([0, 1]);
  });

  it('come back from their text', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { minLength: 1 }), (ids) => {
        expect(parseIds(ids.join())).to.deep.equal(ids);
      }),
    );
  });

  it('anything else is refused by name', async () => {
    for (const [list, wrong] of [
      ['5,x', 'x'],
      ['1,,2', ''],
      ['', ''],
      ['-1', '-1'],
      ['1.5', '1.5'],
      ['1e3', '1e3'],
    ] as const) {
      expect((await errorOf(UsageError, () => parseIds(list))).message).to.contain(`'${wrong}'`);
    }
  });
});

describe('prompts', () => {
  const tokenizer = sentencePieceTokenizer();

  it('come from flags, then the file, then ids, and replace those of the configuration', async () => {
    await withTempFolder(async (dir) => {
      const prompts = join(dir, 'prompts.txt');
      await writeFile(prompts, 'b\r\n\nab\n');
      const read = await readPrompts(
        { prompt: ['a'], prompts, promptIds: ['5,6'] },
        configWith(['b a']),
        tokenizer,
        commandContext(),
      );
      expect(read.map(({ text }) => text)).to.deep.equal(['a', 'b', 'ab', null]);
      expect(read[3]!.tokenIds).to.deep.equal([5, 6]);
      expect(read[2]!.tokenIds).to.deep.equal(tokenizer.encode('ab'));
    });
  });

  it('come from standard input where the file is -', async () => {
    const stdin = new PassThrough();
    const pending = readPrompts({ prompts: '-' }, configWith(['b a']), tokenizer, { ...commandContext(), stdin });
    stdin.write('a\r\n\nb');
    stdin.end(' a\n');
    expect((await pending).map(({ text }) => text)).to.deep.equal(['a', 'b a']);
  });

  it('of standard input that is no UTF-8 or breaks off are told by their option', async () => {
    const [latin, broken] = [new PassThrough(), new PassThrough()];
    latin.end(Buffer.from('a\n\xe4', 'latin1'));
    setImmediate(() => broken.destroy(new Error('EIO')));
    for (const [stdin, words] of [
      [latin, 'line 2 is not UTF-8'],
      [broken, 'EIO'],
    ] as const) {
      const read = (): Promise<unknown> =>
        readPrompts({ prompts: '-' }, configWith([]), tokenizer, { ...commandContext(), stdin });
      expect((await errorOf(UsageError, read)).message)
        .to.contain('--prompts -')
        .and.contain(words);
    }
  });

  it('of the configuration keep their labels', async () => {
    const read = await readPrompts({}, configWith(['a', { label: 'code', text: 'b' }]), tokenizer, commandContext());
    expect(read.map(({ label, text }) => [label, text])).to.deep.equal([
      [null, 'a'],
      ['code', 'b'],
    ]);
  });

  it('as ids need no tokenizer, as text they do', async () => {
    expect(await readPrompts({ promptIds: ['1'] }, configWith([]), undefined, commandContext())).to.have.length(1);
    const error = await errorOf(UsageError, () =>
      readPrompts({ prompt: ['a'] }, configWith([]), undefined, commandContext()),
    );
    expect(error.message).to.contain('no tokenizer').and.contain('--prompt-ids');
  });

  it('none, an empty one and an unreadable file are usage errors', async () => {
    const messages = [
      await errorOf(UsageError, () => readPrompts({}, configWith([]), tokenizer, commandContext())),
      await errorOf(UsageError, () => readPrompts({ prompt: [''] }, configWith([]), tokenizer, commandContext())),
      await errorOf(UsageError, () =>
        readPrompts({ prompts: 'no/such/file' }, configWith([]), tokenizer, commandContext()),
      ),
    ].map(({ message }) => message);
    expect(messages[0]).to.contain('no prompt');
    expect(messages[1]).to.contain('empty');
    expect(messages[2]).to.contain('no/such/file');
  });
});
