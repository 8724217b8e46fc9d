import { expect } from 'chai';
import { Writable } from 'node:stream';
import type { CommandContext, Output } from '../../../../lib/commands/base/context.js';
import { createParser } from '../../../../lib/commands/parser.js';
import { SharedTerminal } from '../../../../lib/commands/base/shared_terminal.js';
import { commandContext } from '../../../kit/command_context.js';
import { moe7m } from '../../../kit/paths.js';
import { kill, Processes } from '../../../kit/processes.js';

/** Where both outputs land. */
class Screen {
  shown = '';
  onText: (text: string) => void = () => undefined;

  output(isTTY: boolean): Output {
    const write = (chunk: Buffer, _encoding: unknown, done: () => void): void => {
      this.shown += chunk.toString();
      this.onText(chunk.toString());
      done();
    };
    return Object.assign(new Writable({ write }), { isTTY, columns: 80 });
  }
}

function terminalOn(screen: Screen, isOut = true, isErr = true): SharedTerminal {
  return new SharedTerminal({ stdout: screen.output(isOut), stderr: screen.output(isErr) });
}

describe('text and warnings on one terminal', function () {
  this.timeout(60_000);
  const processes = new Processes();
  before(() => processes.markThisProcess());
  afterEach(processes.expectNone);

  it('a warning in the middle of a line begins a line, and the text goes on below it', () => {
    const screen = new Screen();
    const terminal = terminalOn(screen);
    terminal.line('first');
    terminal.text('Call me');
    terminal.text('');
    terminal.line('warning: one');
    terminal.line('warning: two');
    terminal.text(' Ishmael.\n');
    terminal.line('last');
    expect(screen.shown).to.equal('first\nCall me\nwarning: one\nwarning: two\n Ishmael.\nlast\n');
  });

  it('text that is broken off is ended once', () => {
    const screen = new Screen();
    const terminal = terminalOn(screen);
    terminal.endLine();
    terminal.text('Call');
    terminal.endLine();
    terminal.endLine();
    expect(screen.shown).to.equal('Call\n');
  });

  for (const [where, isOut, isErr] of [
    ['text in a file', false, true],
    ['warnings in a file', true, false],
  ] as const) {
    it(`${where}: both are what they would be alone`, () => {
      const screen = new Screen();
      const terminal = terminalOn(screen, isOut, isErr);
      terminal.text('Call me');
      terminal.line('warning');
      terminal.endLine();
      expect(screen.shown).to.equal('Call mewarning\n');
    });
  }

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
    await createParser(['generate', ...job, ...prompts, '--no-summary'], context).parseAsync();
    expect(screen.shown).to.match(/\nwarning: .*rank 1 /);
  });
});
