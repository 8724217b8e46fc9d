import { expect } from 'chai';
import { helpText, wishOf } from '../../../../lib/commands/chat/slash_commands.js';

const whyNot = (text: string): string => {
  const wish = wishOf(text);
  return wish.kind === 'mistake' ? wish.why : '';
};

describe('what is entered', () => {
  it('is a question, unless it begins with a slash', () => {
    for (const text of ['Hello', ' /help', 'a/b', '"""']) {
      expect(wishOf(text)).to.deep.equal({ kind: 'ask', text });
    }
  });

  it('asks with a slash at its beginning where it has two', () => {
    expect(wishOf('//etc/passwd')).to.deep.equal({ kind: 'ask', text: '/etc/passwd' });
    expect(wishOf('///')).to.deep.equal({ kind: 'ask', text: '//' });
  });

  it('is a command with what follows it, line ends included', () => {
    expect(wishOf('/system Be\nbrief. ')).to.deep.equal({ kind: 'command', name: 'system', argument: 'Be\nbrief.' });
    expect(wishOf('/save   my chat.json')).to.deep.equal({ kind: 'command', name: 'save', argument: 'my chat.json' });
    expect(wishOf('/reset')).to.deep.equal({ kind: 'command', name: 'reset', argument: '' });
  });

  it('knows how other programs call a command', () => {
    for (const name of ['exit', 'bye', 'quit']) expect(wishOf(`/${name}`)).to.include({ name: 'quit' });
    expect(wishOf('/?')).to.include({ name: 'help' });
    expect(wishOf('/clear')).to.include({ name: 'reset' });
  });

  it('that no command understands says what to do', () => {
    expect(whyNot('/expert 1')).to.equal('there is no /expert; did you mean /experts?');
    expect(whyNot('/etc/passwd?')).to.contain('//');
    expect(whyNot('/constructor')).to.contain('there is no /constructor');
    expect(whyNot('/')).to.contain('/help');
    expect(whyNot('/\u001b[2Jx')).to.contain('\\u001b').and.not.contain('\u001b');
    expect(whyNot('/save')).to.contain('/save needs a file');
    expect(whyNot('/reset now')).to.contain('/reset takes nothing');
  });

  it('has a line of help for each command', () => {
    for (const name of ['system', 'reset', 'save', 'load', 'experts', 'help', 'quit']) {
      expect(helpText()).to.match(new RegExp(`^/${name}\\b`, 'm'));
    }
  });
});
