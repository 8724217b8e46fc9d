import { expect } from 'chai';
import type { CommandContext } from '../../../../../lib/commands/base/context.js';
import { runCommand } from '../../../../../lib/commands/parser.js';
import { commandContext } from '../../../../kit/processes/command_context.js';
import { moe7m } from '../../../../kit/paths.js';
import { kill, Processes } from '../../../../kit/processes/processes.js';
import { Screen } from '../../../../kit/processes/screen.js';

describe('text and warnings on one terminal', function () {
  this.timeout(60_000);
  const processes = new Processes();
  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('generate: the warning of a rank that is killed while text streams stands alone', async () => {
    const screen = new Screen();
    const [stdout, stderr] = [screen.output(true), screen.output(true)];
    const context: CommandContext = { ...commandContext(), stdout, stderr };
    screen.onText = (text) => {
      if (!text.includes('shalt')) return; // in the middle of its second sentence
      screen.onText = () => undefined;
      kill(processes.rank(1).pid, 'SIGKILL');
    };
    const job = ['--model', moe7m(), '--ranks', '2', '--set', 'comm.on_peer_loss=mask'];
    const prompts = ['--prompt', 'Call me', '--max-new-tokens', '150', '--ignore-eos'];
    await runCommand(['generate', ...job, ...prompts, '--no-summary'], context);
    expect(screen.shown).to.match(/\nwarning: .*rank 1 /);
  });
});
