import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { runBench } from '../../bench/index.js';
import type { CodecRow } from '../../bench/codec.js';
import { WIRE_DTYPES, wireRowBytes } from '../../comm/codec/wire_dtype.js';

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

  it('the table names machine, seed, formula and baseline', async () => {
    const text = await output(...TINY);
    for (const part of ['cores', 'seed 9', 'GB/s = 4 × rows × hidden / time', 'plain copy', '130 × fp8', '7 × int8']) {
      expect(text).to.include(part);
    }
  });
});
