import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import type { FormatRow } from '../../bench/formats/measure.js';
import { runBench } from '../../bench/index.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { errorOf } from '../kit/rejects.js';
import { withTempFolder } from '../kit/temp_folder.js';

async function output(...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const { signal } = new AbortController();
  await runBench(['formats', ...args], { stdout, stderr: stdout, stdin: process.stdin, signal, env: {} });
  return stdout.read() as string;
}

const SHAPE = ['--layers', '2', '--hidden', '128', '--experts', '4', '--intermediate', '64'];
const TINY = [...SHAPE, '--rounds', '1', '--prompt-tokens', '4', '--new-tokens', '3', '--ranks', '1,2'];

describe('expertwire bench formats', function () {
  this.timeout(120_000);

  it('has a row per format and number of ranks: fewer bits are fewer bytes, two ranks read fewer each', () =>
    withTempFolder(async (dir) => {
      const { rows } = JSON.parse(await output(...TINY, '--dir', dir, '--json')) as { rows: readonly FormatRow[] };
      const formats = ['BF16', 'F32', 'FP8', 'INT4', 'MXFP4'] as const;
      expect(rows.map(({ format, ranks }) => `${format} ${ranks}`)).to.deep.equal(
        formats.flatMap((format) => [`${format} 1`, `${format} 2`]),
      );
      const read = (format: string, ranks: number): readonly number[] =>
        rows.find((row) => row.format === format && row.ranks === ranks)!.bytes_read;
      const alone = formats.map((format) => read(format, 1)[0]!);
      const [bf16, f32, fp8, int4, mxfp4] = alone as [number, number, number, number, number];
      expect(f32).to.equal(2 * bf16);
      expect([fp8, int4, mxfp4].every((size) => size < bf16)).to.equal(true);
      for (const [i, format] of formats.entries()) {
        expect(read(format, 2)).to.have.length(2);
        expect(Math.max(...read(format, 2))).to.be.below(alone[i]!);
      }
      for (const row of rows) {
        const { bytes_read: ofRanks, format, ranks, ...figures } = row;
        for (const [name, value] of Object.entries(figures))
          expect(value, `${format} × ${ranks} of ${ofRanks.length}: ${name}`).to.be.above(0);
      }
      expect(await output(...TINY, '--dir', dir, '--formats', 'fp8', '--ranks', '1')).to.match(/^FP8 × 1 +.*/m);
    }));

  it('refuses a format that there isn’t, with those that there are', async () => {
    const error = await errorOf(UsageError, () => output('--formats', 'bf16,fp3'));
    expect(error.message).to.contain("'fp3'").and.contain('MXFP4');
  });
});
