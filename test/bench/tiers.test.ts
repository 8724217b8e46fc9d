import { expect } from 'chai';
import { PassThrough } from 'node:stream';
import { runBench } from '../../bench/index.js';
import type { TiersRow } from '../../bench/tiers.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { tinyModel } from '../kit/paths.js';
import { Processes } from '../kit/processes/processes.js';
import { errorOf } from '../kit/rejects.js';

const processes = new Processes();

/** What the command writes to stdout. */
async function output(...args: readonly string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: 'utf8' });
  const { signal } = new AbortController();
  await runBench(['tiers', ...args], { stdout, stderr: stdout, stdin: process.stdin, signal, env: {} });
  return stdout.read() as string;
}

describe('expertwire bench tiers', function () {
  this.timeout(60_000);

  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('keeps to its limit, and reads where something isn’t there', async () => {
    const tiny = ['--model', tinyModel('tiny-mixtral'), '--new-tokens', '16', '--repeats', '1'];
    const { rows } = JSON.parse(await output(...tiny, '--caps', '50', '--policies', 'lru', '--json')) as {
      rows: readonly TiersRow[];
    };
    const [whole, ...others] = rows;
    expect(whole).to.include({ cap: 100, policy: null, ratio: 1, hits: 1, bound: 1, read_bytes_per_token: 0 });
    expect(others.map(({ cap, policy }) => `${cap} ${policy}`)).to.deep.equal(['50 lru']);
    for (const { cap, resident_bytes, hits, bound, read_bytes_per_token } of others) {
      expect(resident_bytes).to.be.within(1, (cap / 100) * whole!.resident_bytes);
      expect(bound).to.be.within(cap / 100, 1);
      expect(hits).to.be.within(0, 1);
      expect(read_bytes_per_token > 0).to.equal(hits < 1);
    }
  });

  it('gives a part of the limit to copies, and says how far the results are off', async () => {
    const tiny = ['--model', tinyModel('tiny-mixtral'), '--new-tokens', '16', '--repeats', '1', '--json'];
    const { rows } = JSON.parse(
      await output(...tiny, '--caps', '60', '--policies', 'frequency', '--warm', 'int8,int4'),
    ) as { rows: readonly TiersRow[] };
    const [whole, plain, ...copies] = rows;
    expect([whole, plain].map((row) => [row!.warm, row!.warm_dtype, row!.divergence])).to.deep.equal([
      [0, null, null],
      [0, null, null],
    ]);
    expect(copies.map(({ warm_dtype }) => warm_dtype)).to.deep.equal(['int8', 'int4']);
    for (const { resident_bytes, warm, hits, divergence } of copies) {
      expect(resident_bytes).to.be.within(1, 0.65 * whole!.resident_bytes);
      expect(warm).to.be.above(0);
      expect(hits + warm).to.be.at.most(1.000001);
      expect(divergence).to.be.above(0).and.below(1);
    }
  });

  it('refuses limits that are none', async () => {
    const error = await errorOf(UsageError, () => output('--caps', '25,100'));
    expect(error.message).to.equal('--caps: 100 is all or more; give percents from 1 to 99');
  });
});
