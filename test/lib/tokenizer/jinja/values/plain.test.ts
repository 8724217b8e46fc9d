import { expect } from 'chai';
import fc from 'fast-check';
import { Template } from '../../../../../lib/tokenizer/jinja/template.js';
import { parseExactJson } from '../../../../../lib/tokenizer/jinja/values/plain.js';

describe('JSON for templates', () => {
  const written = (json: string): string => new Template('{{ x | tojson }}').render({ x: parseExactJson(json) });

  it('keeps floats that are whole, integers that are large, and the order of all keys', () => {
    const text = '{"b": 1.0, "2": -0.0, "1": 12345678901234567890, "a": [1, 1.5, 1e+16, {"10": {"9": true}}]}';
    expect(written(text)).to.equal(text);
    expect(written('[NaN, Infinity, -Infinity, 1e2, 1E-7]')).to.equal('[NaN, Infinity, -Infinity, 100.0, 1e-07]');
  });

  it('is what JSON.parse reads, in all else', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), fc.constantFrom('', ' ', '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(JSON.parse(written(text))).to.deep.equal(JSON.parse(text));
      }),
    );
  });

  it('that is malformed is refused as JSON.parse refuses it', () => {
    for (const text of ['', '[1,]', '{"a" 1}', "{'a': 1}", '[1 2]', '01', 'nul', '"\n"', '[', '{"a": }']) {
      expect(() => parseExactJson(text), text).to.throw(SyntaxError);
    }
  });

  it('has a key like __proto__ as any other', () => {
    expect(written('{"__proto__": {"x": 1}}')).to.equal('{"__proto__": {"x": 1}}');
    expect(({} as { x?: unknown }).x).to.equal(undefined);
  });
});
