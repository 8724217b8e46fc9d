import { expect } from 'chai';
import { join } from 'node:path';
import { parseOptions } from '../../../bench/dispatch/options.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { repoRoot } from '../../kit/paths.js';
import { errorOf } from '../../kit/rejects.js';

const settings = async (...args: string[]): Promise<number> => (await parseOptions(args)).settings.length;

describe('options of bench dispatch', () => {
  it('measures every combination of the lists', async () => {
    const given = await parseOptions([
      '--ranks',
      '2,4',
      '--tokens',
      '1,3',
      '--skew',
      'uniform,zipf:1.5',
      '--dtype',
      'f32',
    ]);
    expect(given.settings).to.have.length(8);
    expect(given.settings[1]).to.deep.equal({
      ...{ transport: 'ws', ranks: 2, hidden: 1024, topk: 8, experts: 64, skew: 'uniform', tokens: 3 },
      ...{ dtype: 'f32', combineDtype: 'f32' },
    });
  });

  it('knows the whole matrix, of which given dimensions take their part', async () => {
    const dtypes = 4;
    expect(await settings('--all', '--transport', 'ws')).to.equal(3 * 3 * 2 * 2 * 2 * dtypes);
    expect(await settings('--all', '--transport', 'ws', '--ranks', '2', '--dtype', 'f32')).to.equal(3 * 2 * 2 * 2);
    expect(await settings()).to.equal(3 * dtypes);
  });

  it('fp8 comes back as bf16, other dtypes as they went, unless told otherwise', async () => {
    const pairs = async (...args: string[]): Promise<string[]> =>
      (await parseOptions(['--tokens', '1', ...args])).settings.map(
        ({ dtype, combineDtype }) => `${dtype} ${combineDtype}`,
      );
    expect(await pairs()).to.deep.equal(['f32 f32', 'bf16 bf16', 'fp8 bf16', 'int8 int8']);
    expect(await pairs('--dtype', 'fp8', '--combine-dtype', 'f32,fp8')).to.deep.equal(['fp8 f32', 'fp8 fp8']);
  });

  it('measures the codecs of plug-ins after the dtypes, or those that are named', async () => {
    const plugins = ['--tokens', '1', '--plugins', join(repoRoot(), 'examples/plugins/int4.mjs')];
    const dtypes = async (...args: string[]): Promise<string[]> =>
      (await parseOptions([...plugins, ...args])).settings.map(({ dtype, combineDtype }) => `${dtype} ${combineDtype}`);
    expect((await dtypes()).at(-1)).to.equal('int4 int4');
    expect(await dtypes('--dtype', 'int4', '--combine-dtype', 'bf16')).to.deep.equal(['int4 bf16']);
  });

  it('overlap is about a link of 1 Gbit/s and phases of at least 16 MB', async () => {
    const { mode, linkMbit, settings: measured } = await parseOptions(['--overlap', '--dtype', 'f32']);
    expect([mode, linkMbit, measured.length]).to.deep.equal(['overlap', 1000, 1]);
    const { ranks, tokens, hidden } = measured[0]!;
    expect((4 * tokens * hidden * (ranks - 1)) / ranks).to.be.at.least(8e6);
    expect(4 * tokens * hidden).to.be.at.least(16e6);
  });

  const MISTAKES: readonly [string, string, ...string[]][] = [
    ['--ranks x', '--ranks', "'x'", 'from 2 to 64'],
    ['--ranks 1', '--ranks', "'1'", 'from 2 to 64'],
    ['--tokens 2,,3', '--tokens', "''"],
    ['--hidden 1.5', '--hidden', "'1.5'"],
    ['--dtype fp9', '--dtype', "'fp9'", 'f32, bf16, fp8, int8'],
    ['--combine-dtype x', '--combine-dtype', "'x'"],
    ['--skew hot', '--skew', "'hot'", 'zipf'],
    ['--transport udp', '--transport', "'udp'", 'ws, threads'],
    ['--topk 65 --experts 64,256', '--topk', '65', '64'],
    ['--messages 0', '--messages', "'0'"],
    ['--messages 4096 --tokens 128', '--messages', '--tokens', 'exclude'],
    ['--messages 4096 --overlap', '--messages', '--overlap', 'exclude'],
    ['--messages 4096 --back-to-back', '--messages', '--back-to-back', 'exclude'],
    ['--overlap --back-to-back', '--overlap', '--back-to-back', 'exclude'],
    ['--back-to-back --matrix', '--back-to-back', '--matrix', 'exclude'],
    ['--overlap --matrix', '--overlap', '--matrix', 'exclude'],
    ['--layers 2', '--layers', '--overlap'],
    ['--link-mbit 100 --transport threads', '--link-mbit', 'threads'],
    ['--iterations 0', '--iterations', 'from 1 to'],
    ['--iterations 1000000000', '--iterations', 'from 1 to'],
    ['--link-mbit 0', '--link-mbit', 'positive'],
    ['--rank 2', 'rank', 'did you mean --ranks?'],
  ];
  for (const [line, ...words] of MISTAKES) {
    it(`refuses ${line}, and says why`, async () => {
      const { message } = await errorOf(UsageError, () => parseOptions(line.split(' ')));
      for (const word of words) expect(message).to.include(word);
    });
  }
});
