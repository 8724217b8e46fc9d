import { expect } from 'chai';
import { MEASUREMENTS, parseOptions } from '../../../bench/cluster/options.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { errorOf } from '../../kit/rejects.js';

describe('the options of bench cluster', () => {
  it('are what is measured, and lengths', () => {
    expect(parseOptions([])).to.deep.include({ names: MEASUREMENTS, moveTokens: [256, 1024, 4096], linkMbit: 1000 });
    const given = parseOptions(['--only', 'router,handover', '--prompt-tokens', '64', '--link-mbit', '100']);
    expect(given).to.deep.include({ names: ['router', 'handover'], promptTokens: [64], linkMbit: 100 });
  });

  for (const args of [
    ['--only', 'rooter'],
    ['--rounds', '0'],
    ['--move-tokens', '0'],
    ['--prompt-tokens', '8192'],
    ['--link-mbit', '0.5'],
    ['--requests', '3'],
    ['--stream-tokens', '1'],
    ['--round', '1'],
  ]) {
    it(`refuse ${args.join(' ')}`, async () => {
      await errorOf(UsageError, () => parseOptions(args));
    });
  }
});
