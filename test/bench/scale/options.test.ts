import { expect } from 'chai';
import { parseOptions } from '../../../bench/scale/options.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { errorOf } from '../../kit/rejects.js';

describe('the options of bench scale', () => {
  it('are numbers of ranks in turn, and a load', () => {
    expect(parseOptions(['--sizes', '1,3', '--spares', '1'])).to.deep.include({ sizes: [1, 3], spares: 1, rounds: 1 });
    expect(parseOptions([]).sizes).to.deep.equal([2, 4, 2, 3]);
  });

  for (const args of [
    ['--sizes', '2'],
    ['--sizes', '2,0'],
    ['--sizes', '2,x'],
    ['--rounds', '0'],
    ['--spares', '-1'],
    ['--streams', '1.5'],
    ['--size', '2,3'],
  ]) {
    it(`refuse ${args.join(' ')}`, async () => {
      await errorOf(UsageError, () => parseOptions(args));
    });
  }
});
