import { expect } from 'chai';
import { EnteredLines, type Entered } from '../../../../lib/commands/chat/entered_lines.js';

/** What whole lines come to, with what is left at the end. */
function entered(lines: readonly string[], isPasted: (i: number) => boolean = () => false): Entered[] {
  const all = new EnteredLines();
  const whole = lines.flatMap((line, i) => all.add(line, isPasted(i)) ?? []);
  return [...whole, ...[all.end() ?? []].flat()];
}

const asked = (text: string, isLiteral = false): Entered => ({ text, isLiteral });

describe('entered lines', () => {
  it('are each by itself', () => {
    expect(entered(['a', '', '/help'])).to.deep.equal([asked('a'), asked(''), asked('/help')]);
  });

  it('between three quotes are one question, and fences on lines of their own add none', () => {
    expect(entered(['"""', '/a', '', 'b', '"""', 'c'])).to.deep.equal([asked('/a\n\nb', true), asked('c')]);
    expect(entered(['"""a', 'b"""'])).to.deep.equal([asked('a\nb', true)]);
    expect(entered(['"""a b"""'])).to.deep.equal([asked('a b', true)]);
  });

  it('between quotes may follow a command', () => {
    expect(entered(['/system """', 'a', 'b', '"""'])).to.deep.equal([asked('/system a\nb')]);
  });

  it('with quotes elsewhere are lines as others', () => {
    expect(entered(['say """a"""', ' """'])).to.deep.equal([asked('say """a"""'), asked(' """')]);
  });

  it('that were pasted together are one question, which the line after them ends', () => {
    expect(entered(['// a', '/b', ' c', 'd'], (i) => i < 2)).to.deep.equal([asked('// a\n/b\n c', true), asked('d')]);
  });

  it('that nobody ended are whole where the input ends, and gone where they are dropped', () => {
    expect(entered(['"""', 'a', 'b'])).to.deep.equal([asked('a\nb', true)]);
    expect(entered(['a'], () => true)).to.deep.equal([asked('a', true)]);
    const dropped = new EnteredLines();
    dropped.add('"""');
    dropped.add('a');
    expect(dropped.isOpen).to.equal(true);
    dropped.drop();
    expect([dropped.isOpen, dropped.end(), dropped.add('b')]).to.deep.equal([false, null, asked('b')]);
  });
});
