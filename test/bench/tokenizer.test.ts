import { expect } from 'chai';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { runBench } from '../../bench/index.js';
import { BenchError } from '../../bench/base/errors.js';
import type { TokenizerRow } from '../../bench/tokenizer/bench_tokenizer.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { errorOf } from '../kit/rejects.js';
import { withTempFolder } from '../kit/temp_folder.js';

/** What the command writes to stdout. */
async function output(...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const { signal } = new AbortController();
  await runBench(['tokenizer', ...args], { stdout, stderr: stdout, stdin: process.stdin, signal, env: {} });
  return stdout.read() as string;
}

/** A text of one's own, and what stands in for a Python with the library. */
const withFiles = (work: (text: string, python: string) => Promise<void>): Promise<void> =>
  withTempFolder(async (dir) => {
    const answer = '{ "version": "9.9", "encode": [2, 1, 3], "decode": [1, 1, 1], "num_tokens": 7 }';
    await writeFile(join(dir, 'text.txt'), 'Call me Ishmael. '.repeat(50));
    await writeFile(join(dir, 'python'), `#!/bin/sh\ncat > "${dir}/task.json"\necho '${answer}'\n`, { mode: 0o755 });
    await work(join(dir, 'text.txt'), join(dir, 'python'));
  });

describe('expertwire bench tokenizer', () => {
  it('--json is one object: machine, text, and a row per library', async () => {
    await withFiles(async (file, python) => {
      const args = ['--file', file, '--python', python, '--text-chars', '100', '--repeats', '3', '--json'];
      const { rows, bytes, texts } = JSON.parse(await output(...args)) as {
        readonly rows: readonly TokenizerRow[];
        readonly bytes: number;
        readonly texts: number;
      };
      expect([bytes, texts]).to.deep.equal([850, 9]);
      const [own, rust] = rows as [TokenizerRow, TokenizerRow];
      expect(own.library).to.equal('expertwire');
      expect(Math.min(own.first_mb_per_s!, own.encode_mb_per_s, own.decode_mb_per_s)).to.be.above(0);
      expect(rust).to.deep.equal({
        ...{ library: 'tokenizers 9.9', first_mb_per_s: null, num_tokens: 7 },
        ...{ encode_mb_per_s: 850 / 1e6 / 2, decode_mb_per_s: 850 / 1e6 },
      });
    });
  });

  it('the report names machine, formula and baseline, and takes this package’s documents unless told otherwise', async () => {
    const text = await output('--repeats', '1', '--text-chars', '100000');
    expect(text)
      .to.match(/cores.*Node v/)
      .and.match(/\d texts, [\d.]+ [KM]iB; loaded in \d+ ms/)
      .and.match(/MB\/s = bytes of UTF-8 \/ seconds/)
      .and.match(/^expertwire {2}.*1\.00x/m);
  });

  it('refuses a text that can’t be read or is empty, and a Python without the library, by name', async () => {
    await withFiles(async (file) => {
      await writeFile(`${file}.empty`, '');
      for (const [args, message] of [
        [['--file', `${file}.absent`], /can't be read/],
        [['--file', `${file}.empty`], /is empty; give a file with text/],
      ] as const) {
        expect((await errorOf(UsageError, () => output(...args))).message).to.match(message);
      }
      for (const python of [`${file}.absent`, 'false']) {
        const error = await errorOf(BenchError, () => output('--file', file, '--repeats', '1', '--python', python));
        expect(error.message).to.match(/^PROCESS_DIED: .*; name a Python that has the package tokenizers/);
      }
    });
  });
});
