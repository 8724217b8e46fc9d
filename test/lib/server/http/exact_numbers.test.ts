import { expect } from 'chai';
import { withExactNumbers } from '../../../../lib/server/http/exact_numbers.js';
import { Template } from '../../../../lib/tokenizer/jinja/template.js';

const exact = (json: string): Record<string, unknown> =>
  withExactNumbers(JSON.parse(json), json) as Record<string, unknown>;

describe('the numbers of a request', () => {
  it('reach chat templates as its JSON has them, and all else as JavaScript has them', () => {
    const tools = '[{"default": 1.0, "large": 12345678901234567890, "by": {"2": 1, "1": 2e3}}]';
    const body = exact(`{"temperature": 1.0, "seed": 1e3, "tools": ${tools}, "messages": [{"content": "1.0"}]}`);
    expect([body.temperature, body.seed, body.messages]).to.deep.equal([1, 1000, [{ content: '1.0' }]]);
    const written = new Template('{{ tools | tojson }}').render(body);
    expect(written).to.equal(tools.replace('2e3', '2000.0'));
  });

  it('of a body without anything for a template stay as they are', () => {
    for (const json of ['null', '1.0', '[1.0]', '{"prompt": [1.0]}', '{"tools": [{"a": 1}]}']) {
      const body: unknown = JSON.parse(json);
      expect(withExactNumbers(body, json)).to.equal(body);
    }
  });

  it('stay as JavaScript has them where the reader would go too deep, or keys of an object are numbers', () => {
    const deep = `{"messages": [], "tools": ${'['.repeat(50_000)}1.0${']'.repeat(50_000)}}`;
    expect(exact(deep).messages).to.deep.equal([]);
    expect(exact('{"tools": [{"1": 1.0}], "documents": {"1": 1.0}}')).to.deep.equal({
      tools: [{ 1: 1 }],
      documents: { 1: 1 },
    });
  });
});
