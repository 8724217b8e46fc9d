import { expect } from 'chai';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../../lib/commands/base/context.js';
import { runCommand } from '../../../lib/commands/parser.js';
import { moe7m, repoRoot } from '../../kit/paths.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';
import { withTempFolder } from '../../kit/temp_folder.js';

async function quantise(...args: readonly string[]): Promise<string> {
  const context = commandContext();
  await runCommand(['quantise', ...args], context);
  return context.printed();
}

const MODEL = moe7m();
const TEXT = join(repoRoot(), 'configs', 'experiments', 'texts', 'story.txt');
const THREADS = ['--set', 'comm.transport=threads'];

describe('expertwire quantise', () => {
  it('writes a folder, and says what it holds and what rounding changed in each layer', async () => {
    await withTempFolder(async (parent) => {
      const out = join(parent, 'small');
      const text = await quantise(MODEL, out, '--format', 'int4');
      expect(text).to.match(/small: 288 matrices as int4 in groups of 32; \d\.\d MiB, \d\d\.\d\d % of 13\.4 MiB\n/);
      expect(text).to.match(/layer {2}matrices {2}weights changed by\n1 {12}96 {14}8\.1\d %\n/);
      expect(await readdir(out)).to.include.members(['config.json', 'model.safetensors', 'tokenizer.json']);
    });
  });

  it('tells a program the same', async () => {
    await withTempFolder(async (parent) => {
      const out = join(parent, 'small');
      const json = await quantise(MODEL, out, '--format', 'fp8', '--only', 'all', '--ignore', 'self_attn', '--json');
      const { layers, ...figures } = JSON.parse(json) as { layers: object[] };
      expect(figures).to.deep.include({ out, format: 'fp8 in blocks of 128', matrices: 300, unfit: [], dropped: [] });
      expect(layers).to.have.length(4);
    });
  });

  it('by a text: shares and what rounding changes in the outputs of experts, and config.json names the text', async () => {
    await withTempFolder(async (parent) => {
      const out = join(parent, 'small');
      const text = await quantise(MODEL, out, '--format', 'int4', '--calibration', TEXT, ...THREADS);
      expect(text).to.match(/layer +matrices +weights changed by +share +outputs of experts by +scaled\n1 +96 /);
      const { expertwire } = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as { expertwire: object };
      expect(expertwire).to.deep.equal({
        quantise: { format: 'int4 in groups of 32', only: 'experts', ignore: [], calibration: 'story.txt' },
      });
      const few = ['--calibration-tokens', '50', '--ignore', 'model.layers.2.*'];
      const line = ['--format', 'int8', '--calibration', TEXT, ...few, ...THREADS, '--json'];
      const { layers } = JSON.parse(await quantise(MODEL, join(parent, 'other'), ...line)) as { layers: Layer[] };
      expect(layers.map(({ layer }) => layer)).to.deep.equal([1, 3]);
      for (const { share, output_error: error, output_error_unscaled: before } of layers) {
        expect(share).to.be.within(0, 1);
        expect(error).to.be.within(0.0005, before);
      }
    });
  });

  it('what doesn’t go together, a folder with files and numbers that nobody means are mistakes of the line; nothing is left', async () => {
    await withTempFolder(async (parent) => {
      const out = join(parent, 'small');
      for (const [line, text] of [
        [['--format', 'int8', '--asymmetric'], '--asymmetric is of int4'],
        [['--format', 'fp8', '--group', '64'], 'fp8 has blocks of 128'],
        [['--format', 'int4', '--group', '20'], '--group 20 is no multiple of 8'],
        [['--format', 'int4', '--group', '1e30'], '--group is not a whole number'],
        [['--format', 'int4', '--group', '64'], 'give --group 32'],
        [['--format', 'int4', '--max-shard-mib', '0'], '--max-shard-mib is not'],
        [['--format', 'int4', '--ignore', '*'], '--ignore * leaves none'],
        [['--format', 'int5'], '--format'],
        [['--format', 'int4', '--ranks', '2'], '--ranks is of who reads a text; give --calibration FILE'],
        [['--format', 'int4', '--calibration', join(parent, 'nowhere.txt')], "nowhere.txt can't be read"],
        [['--format', 'int4', '--calibration', TEXT, '--calibration-tokens', '1'], '--calibration-tokens is not'],
        [
          ['--format', 'int4', '--only', 'all', '--ignore', 'mlp.experts', '--calibration', TEXT],
          '--calibration scales routed experts, and none is quantised',
        ],
        [[], '--format'],
      ] as const) {
        const { message } = await errorOf(UsageError, () => quantise(MODEL, out, ...line));
        expect(message).to.include(text);
      }
      const full = await errorOf(UsageError, () => quantise(MODEL, MODEL, '--format', 'int4'));
      expect(full.message).to.include('FOLDER_NOT_EMPTY');
      expect(await readdir(parent)).to.deep.equal([]);
    });
  });

  it('an interruption leaves nothing', async () => {
    await withTempFolder(async (parent) => {
      const reason = new Error('interrupted');
      const context = commandContext();
      const line = ['quantise', MODEL, join(parent, 'small'), '--format', 'int8'];
      expect(await errorOf(Error, () => runCommand(line, { ...context, signal: AbortSignal.abort(reason) }))).to.equal(
        reason,
      );
      expect(await readdir(parent)).to.deep.equal([]);
    });
  });
});

interface Layer {
  readonly layer: number;
  readonly share: number;
  readonly output_error: number;
  readonly output_error_unscaled: number;
}
