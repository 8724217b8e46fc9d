import { expect } from 'chai';
import { runBench } from '../../../bench/index.js';
import { parseOptions } from '../../../bench/chaos/options.js';
import { FAULT_KINDS } from '../../../bench/chaos/plan/fault.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { commandContext } from '../../kit/processes/command_context.js';
import { errorOf } from '../../kit/rejects.js';

const kindsOf = (...args: readonly string[]): string[] =>
  parseOptions(args)
    .plan.map(({ kind }) => kind)
    .sort();

describe('options of expertwire bench chaos', () => {
  it('faults are those that were asked for, and else some of those that need no relays', () => {
    expect(kindsOf('--kill', '2', '--join', '1')).to.deep.equal(['join', 'kill', 'kill']);
    expect(kindsOf()).to.deep.equal(['join', 'join', 'kill', 'kill', 'slow', 'stop']);
    expect(kindsOf(...FAULT_KINDS.flatMap((kind) => [`--${kind}`, '0']))).to.deep.equal([]);
  });

  it('keys are all of those that were given, and of another option the last one counts', () => {
    const { set, ranks } = parseOptions([...['--set', 'a=1', '--set', 'b=2'], ...['--ranks', '5', '--ranks', '3']]);
    expect({ set, ranks }).to.deep.equal({ set: ['a=1', 'b=2'], ranks: 3 });
  });

  it('what can’t be is refused, with what to give instead', async () => {
    for (const [args, told] of [
      [
        ['--kill', '4', '--ranks', '4'],
        /4 faults may take a rank each, and 0 join.* more --ranks, --max-ranks or --join/,
      ],
      [['--join', '3', '--max-ranks', '5'], /no order leaves a rank and a seat/],
      [['--when', 'later'], /--when: there is no 'later'; give some of apart,together/],
      [['--on-peer-loss', 'fail'], /--on-peer-loss is 'fail'; give recover or mask/],
      [['--kill', '1.5'], /--kill is not a whole number from 0/],
      [['--max-ranks', '2'], /--max-ranks is not a whole number from 4/],
    ] as const) {
      const error = await errorOf(UsageError, () => runBench(['chaos', ...args], commandContext()));
      expect(error.message).to.match(told);
    }
  });
});
