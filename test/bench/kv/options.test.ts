import { expect } from 'chai';
import { MEASUREMENTS, parseOptions } from '../../../bench/kv/options.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { errorOf } from '../../kit/rejects.js';

describe('the options of bench kv', () => {
  it('are what is measured, and traces', () => {
    expect(parseOptions([])).to.deep.include({ names: MEASUREMENTS, traces: [], traceScale: 1 / 64 });
    const given = parseOptions(['--only', 'hits', '--trace', 'a.jsonl', '--trace', 'b.jsonl.gz', '--requests', '8']);
    expect(given).to.deep.include({ names: ['hits'], traces: ['a.jsonl', 'b.jsonl.gz'], requests: 8 });
  });

  for (const args of [
    ['--only', 'hit'],
    ['--rounds', '0'],
    ['--requests', '3'],
    ['--trace-scale', '0'],
    ['--trace-scale', '2'],
    ['--traces', 'a'],
    ['--lengths', '16'],
  ]) {
    it(`refuse ${args.join(' ')}`, async () => {
      await errorOf(UsageError, () => parseOptions(args));
    });
  }
});
