import { expect } from 'chai';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { UsageError } from '../../../lib/commands/base/context.js';
import { runCommand } from '../../../lib/commands/parser.js';
import { modelSpecOf } from '../../../lib/model/families/registry.js';
import { FULL_ATTENTION } from '../../../lib/model/spec/spec.js';
import { loadTokenizer } from '../../../lib/tokenizer/tokenizer.js';
import { openCheckpoint } from '../../../lib/weights/checkpoint.js';
import { readModelFiles } from '../../../lib/weights/model_files.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

async function makeCheckpoint(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runCommand(['make-checkpoint', ...args], context);
  return context.printed();
}

const SMALL = [
  ...['--layers', '3', '--dense-layers', '1', '--hidden', '32', '--experts', '8', '--topk', '3'],
  ...['--intermediate', '12', '--heads', '2', '--vocab', '50'],
];

describe('expertwire make-checkpoint', () => {
  it('writes the shape that its options say, and says what it wrote', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'model');
      const sets = ['--set', 'num_key_value_heads=1', '--set', 'tie_word_embeddings=true'];
      const options = ['--family', 'qwen3_moe', '--dtype', 'F32', '--seed', '3', '--json'];
      const printed = JSON.parse(await makeCheckpoint(dir, ...SMALL, ...sets, ...options)) as Record<string, unknown>;
      const { config } = await readModelFiles(dir);
      const spec = modelSpecOf(config);
      expect(spec).to.deep.include({ modelType: 'qwen3_moe', hiddenSize: 32, vocabSize: 50, tieWordEmbeddings: true });
      expect(spec.attention).to.include({ kind: 'gqa', numHeads: 2, numKvHeads: 1, headDim: 16 });
      expect(spec.layers).to.deep.equal([
        { kind: 'dense', intermediateSize: 128, mixer: FULL_ATTENTION },
        { kind: 'moe', mixer: FULL_ATTENTION },
        { kind: 'moe', mixer: FULL_ATTENTION },
      ]);
      expect(spec.moe.gate).to.include({ numExperts: 8, numTopk: 3 });
      expect(spec.moe.intermediateSize).to.equal(12);
      const checkpoint = await openCheckpoint(dir);
      const names = checkpoint.names();
      expect(new Set(names.map((name) => checkpoint.info(name).dtype))).to.deep.equal(new Set(['F32']));
      const numBytes = names.map((name) => checkpoint.info(name)).reduce((sum, { begin, end }) => sum + end - begin, 0);
      await checkpoint.close();
      const figures = { model_type: 'qwen3_moe', parameters: numBytes / 4, bytes: numBytes };
      expect(printed).to.deep.equal({ dir, ...figures, files: ['model.safetensors'], tokenizer: false });
    });
  });

  it('tells a reader what it wrote, in as many files as asked', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'model');
      const text = await makeCheckpoint(dir, ...SMALL, '--vocab', '20000', '--max-shard-mib', '1');
      expect(text).to.match(
        /deepseek_v3, 3 layers, 2 of them with 8 experts, 3 per token; 1\.3 M parameters, .* BF16 in 3 files\n$/,
      );
      expect((await readdir(dir)).filter((name) => name.endsWith('.safetensors'))).to.have.length(3);
    });
  });

  it('writes a tokenizer with as many tokens as the model, and says where a vocabulary has no room for one', async () => {
    await withTempFolder(async (parent) => {
      for (const [vocab, isThere] of [
        [257, false],
        [258, true],
      ] as const) {
        const context = commandContext();
        const dir = join(parent, String(vocab));
        await runCommand(['make-checkpoint', dir, ...SMALL, '--vocab', String(vocab), '--json'], context);
        expect(JSON.parse(context.printed())).to.include({ tokenizer: isThere });
        expect(context.told() !== '', context.told()).to.equal(!isThere);
        expect((await loadTokenizer(dir))?.vocabSize).to.equal(isThere ? vocab : undefined);
      }
    });
  });

  it('shows on a terminal how far it is, elsewhere nothing, and leaves no bar behind when it fails', async () => {
    await withTempFolder(async (parent) => {
      const shownBy = async (isTTY: boolean, ...args: readonly string[]): Promise<string> => {
        let shown = '';
        const stderr = Object.assign(new PassThrough().setEncoding('utf8'), { isTTY, columns: 80 });
        stderr.on('data', (text: string) => (shown += text));
        const command = runCommand(['make-checkpoint', ...SMALL, ...args], { ...commandContext(), stderr });
        await command.catch((error: unknown) => void expect(error).to.be.instanceOf(UsageError));
        return shown;
      };
      const dir = join(parent, 'model');
      const shown = await shownBy(true, dir);
      expect(shown)
        .to.match(/writing ░{30} 0 %/)
        .and.match(/writing █{30} 100 %/);
      const clear = '\u001b[2K';
      const showCursor = '\u001b[?25h';
      expect(shown.slice(shown.indexOf('100 %')))
        .to.contain(clear)
        .and.contain(showCursor);
      const again = await shownBy(true, dir); // the folder isn't empty any more
      expect(again)
        .to.match(/writing ░{30} 0 %/)
        .and.contain(showCursor);
      expect(await shownBy(false, join(parent, 'other'), '--vocab', '258')).to.equal('');
    });
  });

  it('refuses what makes no sense, saying what to change, and writes nothing', async () => {
    await withTempFolder(async (parent) => {
      const dir = join(parent, 'model');
      const cases: readonly [args: readonly string[], ...words: string[]][] = [
        [['--hidden', '0'], '--hidden'],
        [['--layers', '1.5'], '--layers'],
        [['--seed', '-1'], '--seed'],
        [['--max-shard-mib', '0'], '--max-shard-mib'],
        [['--dtype', 'FP8'], 'dtype'],
        [['--family', 'llama'], 'family'],
        [['--topk', '9'], 'INVALID_MODEL_CONFIG', 'num_experts_per_tok 9'],
        [['--dense-layers', '3'], 'UNSUPPORTED_MODEL', 'without a single MoE layer'],
        [['--set', 'n_group=3'], 'INVALID_MODEL_CONFIG', 'n_group 3'],
        [['--set', 'n_groups=2'], "did you mean 'n_group'?"],
        [['--set', 'model_type=qwen3_moe'], 'model_type'],
        [['--set', 'n_group'], 'KEY=VALUE'],
        [['--set', 'scoring_func=softmax'], 'UNSUPPORTED_MODEL', 'scoring_func'],
      ];
      for (const [args, ...words] of cases) {
        const { message } = await errorOf(UsageError, () => makeCheckpoint(dir, ...SMALL, ...args));
        for (const word of words) expect(message).to.include(word);
      }
      const { message } = await errorOf(UsageError, () => makeCheckpoint(parent + '/model', ...SMALL, '--vocab', 'x'));
      expect(message).to.include('--vocab');
      expect(await readdir(parent)).to.deep.equal([]);
      await makeCheckpoint(dir, ...SMALL);
      const again = await errorOf(UsageError, () => makeCheckpoint(dir, ...SMALL));
      expect(again.message).to.include('FOLDER_NOT_EMPTY').and.include(dir);
    });
  });
});
