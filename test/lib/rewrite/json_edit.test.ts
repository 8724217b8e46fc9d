import { expect } from 'chai';
import { withJsonValues, type JsonEdit } from '../../../lib/rewrite/json_edit.js';
import { parsePythonJson } from '../../../lib/weights/json_text.js';

const TEXT = `{
  "a": 1.0,
  "text": "a \\"brace\\" } and, a comma",
  "inner": {"x": [1, {"a": 2}], "y": NaN},
  "last": 1e-06
}
`;

const edited = (text: string, ...edits: JsonEdit[]): string => withJsonValues(text, edits);

describe('changes of a JSON text', () => {
  it('a value is replaced, and every other character stays', () => {
    const changed = edited(TEXT, { path: ['text'], value: 5 });
    expect(changed).to.equal(TEXT.replace(/"a \\"brace.*comma"/, '5'));
    expect(edited(TEXT, { path: ['last'], value: [1] })).to.equal(TEXT.replace('1e-06', '[\n    1\n  ]'));
  });

  it('keys of inner objects are reached by their path alone', () => {
    const changed = edited(TEXT, { path: ['inner', 'y'], value: 3 }, { path: ['inner', 'z'], value: { q: 1 } });
    expect(parsePythonJson(changed)).to.deep.equal({
      ...(parsePythonJson(TEXT) as object),
      inner: { x: [1, { a: 2 }], y: 3, z: { q: 1 } },
    });
    expect(() => edited(TEXT, { path: ['a', 'b'], value: 1 })).to.throw('"a" is not an object');
  });

  it('a new key comes last, in an empty object too', () => {
    expect(edited('{"a":1}', { path: ['b'], value: true })).to.equal('{"a":1,\n  "b": true}');
    expect(edited('{ }', { path: ['b'], value: true })).to.equal('{\n  "b": true\n}');
  });

  it('a key is taken away with its comma, wherever it stands', () => {
    const without = (key: string): unknown =>
      JSON.parse(edited('{"a":1, "b": [2], "c" : {}}', { path: [key], value: undefined }));
    expect(without('a')).to.deep.equal({ b: [2], c: {} });
    expect(without('b')).to.deep.equal({ a: 1, c: {} });
    expect(without('c')).to.deep.equal({ a: 1, b: [2] });
    expect(without('d')).to.deep.equal({ a: 1, b: [2], c: {} });
    expect(edited('{"a":1}', { path: ['a'], value: undefined })).to.equal('{}');
  });
});
