import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { runBench } from '../../bench/index.js';
import type { CodecRow } from '../../bench/codec.js';
import { join } from 'node:path';
import { WIRE_DTYPES, wireRowBytes } from '../../comm/codec/wire_dtype.js';

import { repoRoot } from '../kit/paths.js';

/** What the command writes to stdout. */
async function output(...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const { signal } = new AbortController();
  await runBench(['codec', ...args], { stdout, stderr: stdout, stdin: process.stdin, signal, env: {} });
  return stdout.read() as string;
}

const TINY = ['--hidden', '130,7', '--warm-up-ms', '1', '--tokens', '5', '--repeats', '2', '--seed', '9'];

describe('expertwire bench codec', () => {
  it('--json is one object: machine, settings, and a row per hidden size and dtype', async () => {
    const text = await output(...TINY, '--json');
    expect(text.trimEnd().split('\n')).to.have.length(1);
    const { machine, rows, ...settings } = JSON.parse(text) as { machine: object; rows: readonly CodecRow[] };
    expect(machine).to.have.all.keys('cpu', 'cores', 'memory', 'node');
    expect(settings).to.deep.equal({ seed: 9, tokens: 5, repeats: 2 });
    const expected = [130, 7].flatMap((hidden) =>
      WIRE_DTYPES.map((dtype) => [hidden, dtype, wireRowBytes(dtype, hidden)]),
    );
    expect(rows.map((row) => [row.hidden, row.dtype, row.wire_bytes_per_row])).to.deep.equal(expected);
    for (const row of rows) {
      const copy = row.copy_gb_per_s;
      expect(copy).to.be.above(0);
      for (const what of ['encode', 'gather', 'decode'] as const) {
        expect(row[`${what}_gb_per_s`]).to.be.above(0);
        expect(row[`${what}_ratio`]).to.be.closeTo(row[`${what}_gb_per_s`] / copy, 1e-9);
      }
    }
  });

  it('measures the codecs of --plugins too, and tells what each loses', async () => {
    const int4 = join(repoRoot(), 'examples/plugins/int4.mjs');
    const { rows } = JSON.parse(await output(...TINY, '--plugins', int4, '--json')) as { rows: readonly CodecRow[] };
    const own = rows.filter(({ hidden }) => hidden === 130);
    expect(own.map(({ dtype }) => dtype)).to.deep.equal([...WIRE_DTYPES, 'int4']);
    expect(own.at(-1)).to.include({ wire_bytes_per_row: 4 * 5 + 65 });
    const errors = own.map(({ rms_error: error }) => error);
    expect(errors[0]).to.equal(0);
    for (const [i, [least, most]] of [
      [1e-3, 4e-3],
      [1e-2, 5e-2],
      [2e-3, 2e-2],
      [5e-2, 0.2],
    ].entries()) {
      expect(errors[i + 1]).to.be.within(least!, most!);
    }
  });

  it('the table names machine, seed, formula and baseline', async () => {
    const text = await output(...TINY);
    for (const part of ['cores', 'seed 9', 'GB/s = 4 × rows × hidden / time', 'plain copy', '130 × fp8', '7 × int8']) {
      expect(text).to.include(part);
    }
  });
});
