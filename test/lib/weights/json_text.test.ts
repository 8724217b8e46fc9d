import { expect } from 'chai';
import fc from 'fast-check';
import { isLfsPointer, parsePythonJson } from '../../../lib/weights/json_text.js';

describe('JSON as Python writes it', () => {
  it('may say NaN and infinities', () => {
    const text = '{"a": [0.0, Infinity], "b": -Infinity,\n"NaN": NaN, "c": {"d": [NaN,-Infinity,Infinity]}}';
    expect(parsePythonJson(text)).to.deep.equal({
      a: [0, Infinity],
      b: -Infinity,
      NaN,
      c: { d: [NaN, -Infinity, Infinity] },
    });
  });

  it('leaves what stands in strings alone, whatever it looks like', () => {
    const value = { a: 'NaN', b: '"-Infinity"', c: '\\"NaN', d: '\u0001number NaN', Infinity: ['x NaN y'] };
    expect(parsePythonJson(JSON.stringify(value))).to.deep.equal(value);
    expect(parsePythonJson(`{"n": NaN, "v": ${JSON.stringify(value)}}`)).to.deep.equal({ n: NaN, v: value });
  });

  it('may begin with a byte order mark', () => {
    expect(parsePythonJson('\uFEFF{"a": 1}')).to.deep.equal({ a: 1 });
  });

  it('is refused in the words of what it says', () => {
    expect(() => parsePythonJson('{"a": NaN, "b": x}')).to.throw(SyntaxError, /"a": 0 {2}, "b": x/);
  });

  it('is otherwise what JSON is: any value comes back, and what is malformed is refused', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(parsePythonJson(text)).to.deep.equal(JSON.parse(text));
      }),
    );
    for (const text of [
      '',
      '{',
      '{"a": nan}',
      '{"a": NaN1}',
      '{"a": +Infinity}',
      '{NaN: 1}',
      '{"a": "NaN}',
      '{"a": NaN',
    ]) {
      expect(() => parsePythonJson(text), text).to.throw(SyntaxError);
    }
  });
});

describe('a Git LFS pointer', () => {
  it('is known by its first bytes', () => {
    expect(isLfsPointer(Buffer.from('version https://git-lfs.github.com/spec/v1\noid'))).to.equal(true);
    for (const text of [
      '',
      'version',
      'version https://git-lfs.example',
      '{"version https://git-lfs.github.com/spec/v1": 1}',
    ]) {
      expect(isLfsPointer(Buffer.from(text)), text).to.equal(false);
    }
  });
});
