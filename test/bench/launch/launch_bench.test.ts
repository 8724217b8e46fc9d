import { expect } from 'chai';
import { runBench } from '../../../bench/index.js';
import { LAUNCHERS } from '../../../bench/launch/launchers.js';
import { UsageError } from '../../../lib/commands/base/context.js';
import { errorOf } from '../../kit/rejects.js';
import { commandContext } from '../../kit/processes/command_context.js';

describe('expertwire bench launch', () => {
  it('starts as many tasks of one line under every launcher, and by hand the ranks themselves', () => {
    const job = { ranks: 8, port: 7100, program: ['node', 'cli.js'], command: ['generate', '--ignore-eos'] };
    const { hand, ...others } = LAUNCHERS;
    expect(hand.words(job)).to.deep.equal(['node', 'cli.js', 'generate', '--ignore-eos', '--ranks', '8']);
    const line = ['node', 'cli.js', 'launch', '--head', '127.0.0.1:7100', '--', 'generate', '--ignore-eos'];
    for (const { words } of Object.values(others)) {
      expect(words(job).slice(-line.length)).to.deep.equal(line);
      expect(words(job).slice(0, -line.length)).to.include('8');
    }
  });

  it('refuses what it does not measure', async () => {
    const error = await errorOf(UsageError, () => runBench(['launch', '--only', 'hand,pbs'], commandContext()));
    expect(error.message).to.equal('--only pbs: give some of hand,slurm,openmpi,mpich,torchrun');
  });
});
