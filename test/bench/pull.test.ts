import { expect } from 'chai';
import { benchPull, type PullRow } from '../../bench/pull/bench_pull.js';
import { UsageError } from '../../lib/commands/base/context.js';
import { commandContext } from '../kit/processes/command_context.js';
import { errorOf } from '../kit/rejects.js';

describe('bench pull', function () {
  this.timeout(60_000);

  it('fetches the same model every way, in turns', async () => {
    const context = commandContext();
    await benchPull(['--mb', '3', '--files', '2', '--rounds', '1', '--json'], context);
    const { mb, rows } = JSON.parse(context.printed()) as { mb: number; rows: readonly PullRow[] };
    expect(mb).to.equal(3);
    expect(rows.map(({ what }) => what)).to.include.members(['pull', 'pull, in chunks (Xet)']);
    for (const { seconds, of_curl } of rows) {
      expect(seconds).to.be.above(0);
      expect(of_curl).to.satisfy((ratio: number | null) => ratio === null || ratio > 0);
    }
  });

  it('refuses what can’t be measured', async () => {
    for (const args of [
      ['--mb', '0'],
      ['--files', '1.5'],
      ['--rounds', '0'],
      ['--sed', '1'],
    ])
      await errorOf(UsageError, () => benchPull(args, commandContext()));
  });
});
