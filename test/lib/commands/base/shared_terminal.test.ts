import { expect } from 'chai';
import { SharedTerminal } from '../../../../lib/commands/base/shared_terminal.js';
import { Screen } from '../../../kit/processes/screen.js';

function terminalOn(screen: Screen, isOut = true, isErr = true): SharedTerminal {
  return new SharedTerminal({ stdout: screen.output(isOut), stderr: screen.output(isErr) });
}

describe('text and warnings on one terminal', () => {
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
});
