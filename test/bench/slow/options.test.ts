import { expect } from 'chai';
import { parseOptions } from '../../../bench/slow/options.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { errorOf } from '../../kit/rejects.js';

describe('the options of bench slow', () => {
  it('are a factor, ranks, and a load', () => {
    expect(parseOptions(['--factor', '1.5', '--ranks', '3'])).to.deep.include({ factor: 1.5, ranks: 3, rounds: 5 });
    expect(parseOptions([])).to.deep.include({ factor: 2, ranks: 2 });
  });

  for (const args of [
    ['--factor', '0.5'],
    ['--factor', 'x'],
    ['--ranks', '1'],
    ['--streams', '0'],
    ['--redundant', '-1'],
    ['--rank', '2'],
  ]) {
    it(`refuse ${args.join(' ')}`, async () => {
      await errorOf(UsageError, () => parseOptions(args));
    });
  }
});
